"""The addresses that go onto cards and into QR codes."""


def hall_link_path(token: str) -> str:
    return f"/hall/{token}"


def delegate_link_path(token: str) -> str:
    return f"/d/{token}"


def seat_link_path(token: str) -> str:
    return f"/j/{token}"

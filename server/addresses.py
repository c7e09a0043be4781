"""The addresses that go onto cards and into QR codes."""


def hall_link_path(token: str) -> str:
    return f"/hall/{token}"


def delegate_link_path(token: str) -> str:
    return f"/d/{token}"


def encoder_path(meeting: str, hall: str) -> str:
    """Where an encoder publishes as the hall (WHIP), with the hall's token."""
    return f"/whip/{meeting}/{hall}"


def seat_link_path(token: str) -> str:
    return f"/j/{token}"

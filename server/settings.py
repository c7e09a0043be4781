"""What an operator can set: command-line options and environment variables, with defaults that need neither."""

from pathlib import Path

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`public_url` is what links and QR codes begin with. Empty `database_url` means SQLite in `data_dir`.

    Media node number n of `media_workers` has the UDP port `media_port` + n (0: any free one).
    """

    data_dir: Path
    host: str = "0.0.0.0"
    port: int = 8080
    public_url: str = "http://localhost:8080"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    database_url: str = ""
    media_host: str = "0.0.0.0"
    media_port: int = 40000
    media_workers: int = 1
    media_candidates: tuple[str, ...] = ()
    turn_urls: tuple[str, ...] = ()
    turn_secret: str = ""
    trusted_proxy: bool = False
    metrics_token: str = ""

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'diemcau.sqlite3'}"

    @property
    def shares_database(self) -> bool:
        """Whether servers on other machines may use the same database: what all must have in common is then there."""
        return self.database_url.startswith("postgres")

    @property
    def documents_dir(self) -> Path:
        return self.data_dir / "documents"

    @property
    def pages_dir(self) -> Path:
        """Page images: a cache that may be emptied."""
        return self.data_dir / "pages"

    @property
    def uploads_dir(self) -> Path:
        return self.data_dir / "uploads"

    def media_socket(self, number: int = 0) -> Path:
        """The control socket of a media node."""
        return self.data_dir / (f"media-{number}.sock" if number else "media.sock")

    @property
    def secure(self) -> bool:
        """Whether pages come over https, here or at a proxy in front."""
        return self.tls_cert is not None or self.public_url.startswith("https://")

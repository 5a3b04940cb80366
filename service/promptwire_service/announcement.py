"""The one line on stdout that tells that calls are answered, and where."""

from promptwire_service.commands.get_status import service_version


def announce(address: str, location: str, durability: str, *more: str) -> None:
    """`location` and `durability` are the store's."""
    about = ", ".join((f"store {location}", f"durability {durability}", *more))
    print(f"promptwire {service_version()} serving on {address} ({about})", flush=True)

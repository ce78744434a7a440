"""Addresses of the internet protocol that can belong to somebody."""

from __future__ import annotations

import ipaddress


def is_address(text: str) -> bool:
    """Whether it is an address of one machine: not loopback, not unspecified, not a mask or a network, and no time of day."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 6:
        return ("::" in text or text.count(":") == 7) and not (address.is_loopback or address.is_unspecified) and len(text) > 5
    return not (address.is_loopback or address.is_unspecified or text.startswith(("0.", "255.")) or text.endswith(".0"))

"""A shop that takes orders, and a till that charges for them. Two of each: the one that is written
first, and the one that survives."""

from __future__ import annotations

from typing import Any

import chanlog

__all__ = ["CarefulShop", "CarefulTill", "CarelessShop", "CarelessTill"]


class CarelessShop:
    """Tries again when it does not hear back, which doubles what had arrived."""

    def __init__(self, log: Any) -> None:
        self._orders = log.channel("orders")

    def place(self, number: int, amount: int) -> None:
        while True:
            try:
                self._orders.publish({"order": number, "amount": amount})
                return
            except chanlog.Disconnected:
                continue


class CarefulShop:
    """Tries again with the same sequence: what had arrived is not doubled."""

    def __init__(self, log: Any) -> None:
        self._orders = log.channel("orders")

    def place(self, number: int, amount: int) -> None:
        while True:
            try:
                # Opening it is a write, too, and may fail.
                shop = self._orders.producer("shop")
                shop.publish({"order": number, "amount": amount}, sequence=number)
                return
            except chanlog.Disconnected:
                continue


class CarelessTill:
    """Charges for whatever it is handed."""

    def __init__(self, log: Any) -> None:
        self._cursor = log.channel("orders").cursor("till")
        self.charged: list[int] = []

    def charge(self, order: dict[str, int]) -> None:
        self.charged.append(order["order"])

    def work(self) -> None:
        """Charge for all there is."""
        while True:
            try:
                message = self._cursor.get(timeout=0)
                if message is None:
                    return
                self.charge(message.data)
                self._cursor.commit(message)
            except chanlog.CommitBehind:
                # What came again was committed before.
                continue


class CarefulTill(CarelessTill):
    """Charges once for each order, however often it comes."""

    def charge(self, order: dict[str, int]) -> None:
        if order["order"] not in self.charged:
            super().charge(order)

"""The ledger is proved by planting each fault that it is there to find."""

from __future__ import annotations

import pytest

from chanlog.cli.demo.ledger import Entry, Payment, Receipt, reckon

# Life 1 publishes tokens 0 to 3, an interruption is at offset 2; life 2 publishes 4 and 5. Token
# 4 was paid for by life 1 too: the kill came before it was published.
PUBLISHED = [
    Entry(0, 0, 1),
    Entry(1, 1, 1),
    Entry(2, None, None),
    Entry(3, 2, 1),
    Entry(4, 3, 1),
    Entry(5, 4, 2),
    Entry(6, 5, 2),
]
RECEIVED = [Receipt(e.offset, e.number, 1000, 3000, e.offset not in (3, 4)) for e in PUBLISHED]
PAID = [*(Payment(1, n) for n in range(5)), Payment(2, 4), Payment(2, 5)]


def account(published=PUBLISHED, received=RECEIVED, paid=PAID, kills=1, wrong=0):
    return reckon(published, {"client": received}, paid, kills=kills, wrong=wrong)


def test_a_clean_run():
    ledger = account()
    assert ledger.clean and ledger.faults() == []
    assert (ledger.tokens, ledger.others) == (6, 1)
    assert (ledger.generated, ledger.generated_twice, ledger.in_flight) == (7, 0, 1)
    (delivery,) = ledger.deliveries
    assert (delivery.tokens, delivery.others, delivery.caught_up) == (6, 1, 2)
    assert delivery.p50 == delivery.p99 == pytest.approx(2e-6)


def test_a_client_that_received_nothing_live_has_no_delivery_time():
    received = [row._replace(live=False) for row in RECEIVED]
    assert account(received=received).deliveries[0].p50 is None


def without(rows, place):
    return rows[:place] + rows[place + 1 :]


FAULTS = {
    "a lost token": ({"received": without(RECEIVED, 3)}, "1 message lost"),
    "the last one lost": ({"received": RECEIVED[:-1]}, "1 message lost"),
    "a lost interruption": ({"received": without(RECEIVED, 2)}, "1 message lost"),
    "nothing arrived": ({"received": []}, "7 messages lost"),
    "a token delivered twice": ({"received": [*RECEIVED, RECEIVED[-1]]}, "1 message doubled"),
    "two in the wrong order": (
        {"received": [RECEIVED[1], RECEIVED[0], *RECEIVED[2:]]},
        "1 message disordered",
    ),
    "a message from nowhere": (
        {"received": [*RECEIVED, Receipt(99, 9, 0, 0, True)]},
        "1 message not of the log",
    ),
    "another token under an offset": (
        {"received": [*RECEIVED[:-1], RECEIVED[-1]._replace(number=1)]},
        "1 message not of the log",
    ),
    "a token published twice": (
        {
            "published": [*PUBLISHED, Entry(7, 5, 2)],
            "received": [*RECEIVED, Receipt(7, 5, 0, 0, True)],
        },
        "1 token published twice",
    ),
    "a token never published": (
        {"published": without(PUBLISHED, 1), "received": without(RECEIVED, 1)},
        "1 token never published",
    ),
    "paid again by the life after the kill": (
        {"paid": [*PAID, Payment(2, 3)]},
        "1 token generated twice",
    ),
    "paid again within one life": ({"paid": [*PAID, Payment(2, 5)]}, "1 token generated twice"),
    "two in flight at one kill": (
        {"paid": [*PAID, Payment(1, 5)]},
        "2 tokens in flight at 1 kill",
    ),
    "in flight with no kill": ({"kills": 0}, "1 token in flight at 0 kills"),
    "a token that nobody paid for": ({"paid": PAID[1:]}, "1 token published that nobody"),
    "a token of another text": ({"wrong": 1}, "1 token not that of the text"),
    "nothing at all": ({"published": [], "received": [], "paid": []}, "nothing was published"),
}


@pytest.mark.parametrize(("planted", "text"), FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_found(planted, text):
    ledger = account(**planted)
    assert not ledger.clean
    assert any(text in fault for fault in ledger.faults()), ledger.faults()


def test_nobody_listening_is_not_clean():
    ledger = reckon(PUBLISHED, {}, PAID, kills=1)
    assert ledger.faults() == ["nobody received anything"]

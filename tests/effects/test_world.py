"""The bank itself: what it does in each of its modes, and that it outlives its clients and not its tests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from effects.world.client import Bank, BankFailed, BankLost, BankRefused, Mode, Teller

TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    made = Bank(tmp_path_factory.mktemp("bank"), ttl_s=100.0)
    yield made
    made.close()


def pay(bank: Bank, order: str, *, key: str | None = None, amount: str = "80.00") -> str:
    reference = None if key is None else f"see {key}"
    return asyncio.run(Teller(bank.port).pay(order, amount, "EUR", key=key, reference=reference))


def test_a_payment_without_a_key_is_booked_each_time(bank: Bank) -> None:
    assert pay(bank, "no-key") != pay(bank, "no-key")

    assert [(row.amount, row.currency, row.key) for row in bank.payments("no-key")] == [
        ("80.00", "EUR", None)
    ] * 2


def test_a_payment_with_a_key_is_booked_once_until_the_bank_forgets_the_key(bank: Bank) -> None:
    receipt = pay(bank, "keyed", key="k-1")
    assert pay(bank, "keyed", key="k-1") == receipt
    bank.advance(101.0)

    assert pay(bank, "keyed", key="k-1") != receipt
    assert len(bank.paid("keyed")) == 2
    assert bank.requests("keyed") == 3


def test_a_key_holds_for_one_payment_only(bank: Bank) -> None:
    pay(bank, "one", key="k-2")

    with pytest.raises(BankRefused):
        pay(bank, "one", key="k-2", amount="81.00")
    assert len(bank.paid("one")) == 1


@pytest.mark.parametrize(
    ("mode", "error", "booked"),
    [
        ("drop_before", BankLost, 0),
        ("drop_after", BankLost, 1),
        ("error_before", BankFailed, 0),
        ("error_after", BankFailed, 1),
        ("refuses", BankRefused, 0),
    ],
)
def test_what_the_bank_answers_says_nothing_of_what_it_has_booked(
    bank: Bank, mode: Mode, error: type[Exception], booked: int
) -> None:
    bank.behave(mode, mode)

    with pytest.raises(error):
        pay(bank, mode)
    assert len(bank.paid(mode)) == booked
    pay(bank, mode)
    assert len(bank.paid(mode)) == booked + 1


@pytest.mark.parametrize(("mode", "booked"), [("late", 1), ("hang", 0)])
def test_an_answer_that_is_late_comes_when_the_test_says_so(bank: Bank, mode: Mode, booked: int) -> None:
    bank.behave(mode, mode)

    async def scenario() -> str | None:
        paying = asyncio.create_task(Teller(bank.port).pay(mode, "1.00", "EUR", key=None, reference=None))
        await asyncio.to_thread(bank.wait_for, mode)
        assert len(bank.paid(mode)) == booked
        assert not paying.done()
        bank.release(mode)
        try:
            return await paying
        except BankLost:
            return None

    assert [asyncio.run(scenario())] == (bank.paid(mode) or [None])


def test_a_payment_is_found_by_its_key_and_by_its_reference_and_can_be_voided(bank: Bank) -> None:
    async def scenario() -> None:
        teller = Teller(bank.port)
        receipt = await teller.pay("found", "2.00", "EUR", key="k-3", reference="ref-3")
        assert [await teller.find(key) for key in ("k-3", "ref-3", "k-4")] == [receipt, receipt, None]
        await teller.void(receipt, key=None)
        with pytest.raises(BankRefused):
            await teller.void("rc-none", key=None)

    asyncio.run(scenario())

    assert [payment.voided for payment in bank.payments("found")] == [1]


def test_a_client_that_is_killed_has_paid_and_the_bank_goes_on(bank: Bank) -> None:
    bank.behave("killed", "late")
    code = (
        "import asyncio; from effects.world.client import Teller; "
        f"asyncio.run(Teller({bank.port}).pay('killed', '3.00', 'EUR', key=None, reference=None))"
    )
    client = subprocess.Popen([sys.executable, "-c", code], cwd=TESTS)
    bank.wait_for("killed")
    client.kill()
    client.wait()
    bank.release("killed")

    assert len(bank.paid("killed")) == 1
    pay(bank, "another")


def test_the_bank_ends_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from effects.world.client import Bank; "
        f"print(Bank(pathlib.Path({str(tmp_path)!r})).port, flush=True); sys.stdin.read()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert starter.stdout is not None
    with socket.create_connection(("127.0.0.1", int(starter.stdout.readline())), timeout=20.0) as waiting:
        starter.kill()
        starter.communicate()

        # The connection ends with the process that has it; a reset says so, too.
        with contextlib.suppress(ConnectionResetError):
            assert waiting.recv(1) == b""

"""The service one would write instead: web framework, ORM, HTTP client; check, call, insert.

It remembers keys and never refunds more than was captured while all goes well. It keeps no intent
before the call, no outcome but yes and no, no policy, no risk, no audit chain and no webhooks.

    BENCH_URL=… BENCH_PSP=… uvicorn bench.naive:app --workers 2
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
from litestar import Litestar, Request, get, post
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import JSONBody
from sqlalchemy import BigInteger, ForeignKey, String, event, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

URL = os.environ.get("BENCH_URL", "sqlite+aiosqlite:///naive.db")
PSP = os.environ.get("BENCH_PSP", "http://127.0.0.1:9400")
KEY = {"Authorization": "Bearer sk_test_bench"}


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "naive_orders"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    currency: Mapped[str]
    payment_intent: Mapped[str]
    captured: Mapped[int] = mapped_column(BigInteger)
    refunded: Mapped[int] = mapped_column(BigInteger, default=0)
    refunds: Mapped[list[Refund]] = relationship(back_populates="order")


class Refund(Base):
    __tablename__ = "naive_refunds"
    id: Mapped[str] = mapped_column(String, primary_key=True)
    key: Mapped[str] = mapped_column(String, unique=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("naive_orders.id"), index=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]
    status: Mapped[str]
    psp_refund_id: Mapped[str]
    created_at: Mapped[datetime]
    order: Mapped[Order] = relationship(back_populates="refunds")


class LedgerLine(Base):
    __tablename__ = "naive_ledger"
    id: Mapped[int] = mapped_column(primary_key=True)
    refund_id: Mapped[str] = mapped_column(ForeignKey("naive_refunds.id"), index=True)
    account: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)


class AuditLine(Base):
    __tablename__ = "naive_audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    refund_id: Mapped[str] = mapped_column(ForeignKey("naive_refunds.id"), index=True)
    actor: Mapped[str]
    what: Mapped[str]
    at: Mapped[datetime]


class Hook(Base):
    __tablename__ = "naive_hooks"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[bytes]


engine = create_async_engine(URL, connect_args={"timeout": 30} if "sqlite" in URL else {})
Session = async_sessionmaker(engine, expire_on_commit=False)

if "sqlite" in URL:

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def shown(refund: Refund) -> dict[str, Any]:
    return {
        "id": refund.id,
        "order": refund.order_id,
        "amount": refund.amount,
        "state": refund.status,
        "psp_refund_id": refund.psp_refund_id,
    }


@get("/healthz")
async def healthz() -> dict[str, bool]:
    return {"ok": True}


@post("/hook")
async def hook(request: Request[Any, Any, Any]) -> dict[str, bool]:
    """A bare webhook endpoint: one INSERT and its COMMIT, nothing verified, nothing decided."""
    body = await request.body()
    async with engine.connect() as connection:
        await connection.execution_options(writes=True)
        async with connection.begin():
            await connection.execute(insert(Hook).values(body=body))
    return {"ok": True}


@post("/orders")
async def add_order(data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
    async with Session.begin() as session:
        await session.connection(execution_options={"writes": True})
        session.add(Order(**data))
    return {"id": data["id"]}


@post("/refunds")
async def add_refund(
    request: Request[Any, Any, Any], data: JSONBody[dict[str, Any]]
) -> dict[str, Any]:
    key = request.headers["idempotency-key"]
    async with Session.begin() as session:
        known = await session.scalar(select(Refund).where(Refund.key == key))
        if known is not None:
            return shown(known)
        order = await session.get(Order, data["order"])
        if order is None:
            raise NotFoundException("no such order")
        if order.refunded + data["amount"] > order.captured:
            raise ClientException("more than was captured")
    answer = await _call(request.app.state.client, order, data["amount"], key)
    async with Session.begin() as session:
        await session.connection(execution_options={"writes": True})
        return shown(await _insert(session, order, data, key, answer))


async def _call(
    client: aiohttp.ClientSession, order: Order, amount: int, key: str
) -> dict[str, Any]:
    form = {
        "payment_intent": order.payment_intent,
        "amount": str(amount),
        "metadata[order]": order.id,
    }
    headers = {**KEY, "Idempotency-Key": key}
    async with client.post(f"{PSP}/v1/refunds", data=form, headers=headers) as response:
        response.raise_for_status()
        found: dict[str, Any] = await response.json()
        return found


async def _insert(
    session: AsyncSession, before: Order, data: dict[str, Any], key: str, answer: dict[str, Any]
) -> Refund:
    order = await session.get_one(Order, before.id, with_for_update=True)
    order.refunded += data["amount"]
    now = datetime.now(UTC).replace(tzinfo=None)
    refund = Refund(
        id=str(uuid.uuid4()),
        key=key,
        order_id=order.id,
        amount=data["amount"],
        reason=data.get("reason", "return"),
        status=answer["status"],
        psp_refund_id=answer["id"],
        created_at=now,
    )
    session.add(refund)
    await session.flush()
    net = data["amount"] * 5 // 6
    for account, amount in (
        ("sales_returns", net),
        ("tax_payable", data["amount"] - net),
        ("refunds_payable", -data["amount"]),
        ("refunds_payable", data["amount"]),
        ("clearing", -data["amount"]),
    ):
        session.add(LedgerLine(refund_id=refund.id, account=account, amount=amount))
    session.add(AuditLine(refund_id=refund.id, actor="bench", what="refunded", at=now))
    return refund


@asynccontextmanager
async def lifespan(application: Litestar) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
        application.state.client = client
        yield
    await engine.dispose()


app = Litestar([healthz, hook, add_order, add_refund], lifespan=[lifespan], openapi_config=None)


async def create() -> None:
    """Make the tables."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()

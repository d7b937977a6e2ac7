"""The plain design that ``bench_api`` measures ``/api`` against: FastAPI, async SQLAlchemy, aiosqlite, JWT.

``uvicorn plain_api:app`` prints a token of its only user first. Chats have a title and nothing else, there is
no request log but uvicorn's, no signed-out token, no limit on a list and no header of its own.
Needs aiosqlite, which Luthier does not.
"""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SECRET, ALGORITHM, USER_ID = "x" * 40, "HS256", "u"
engine = create_async_engine("sqlite+aiosqlite:///" + os.path.join(tempfile.mkdtemp(), "plain.db"))
new_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class UserRow(Base):
    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str]


class ChatRow(Base):
    __tablename__ = "chats"
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str]
    created_at: Mapped[datetime]


class NewChat(BaseModel):
    title: str = "New chat"


class Chat(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: str
    title: str
    created_at: datetime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with new_session() as session:
        session.add(UserRow(id=USER_ID, email="ada@example.com"))
        await session.commit()
    yield


async def open_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


OpenSession = Annotated[AsyncSession, Depends(open_session)]


async def find_user(session: OpenSession, authorization: Annotated[str, Header()]) -> UserRow:
    claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, [ALGORITHM])
    user = await session.get(UserRow, claims["sub"])
    if user is None:
        raise HTTPException(401)
    return user


CurrentUser = Annotated[UserRow, Depends(find_user)]
app = FastAPI(lifespan=lifespan)


@app.post("/api/chats", status_code=201, response_model=Chat)
async def create_chat(new: NewChat, user: CurrentUser, session: OpenSession) -> ChatRow:
    row = ChatRow(id=uuid.uuid4().hex, user_id=user.id, title=new.title, created_at=datetime.now(UTC))
    session.add(row)
    await session.commit()
    return row


@app.get("/api/chats")
async def list_chats(
    user: CurrentUser, session: OpenSession, limit: int = 20, offset: int = 0
) -> dict[str, Any]:
    mine = select(ChatRow).where(ChatRow.user_id == user.id)
    total = await session.scalar(select(func.count()).select_from(ChatRow).where(ChatRow.user_id == user.id))
    page = await session.scalars(mine.order_by(ChatRow.created_at.desc()).limit(limit).offset(offset))
    return {"items": [Chat.model_validate(row) for row in page.all()], "total": total}


@app.get("/api/chats/{chat_id}", response_model=Chat)
async def get_chat(chat_id: str, user: CurrentUser, session: OpenSession) -> ChatRow:
    row = await session.get(ChatRow, chat_id)
    if row is None or row.user_id != user.id:
        raise HTTPException(404)
    return row


print(jwt.encode({"sub": USER_ID}, SECRET, ALGORITHM), flush=True)

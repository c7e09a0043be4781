"""Staff: logging in, and who has an account."""

import asyncio
import hmac
import secrets
import time

from aiohttp import web

from rooms.actor import Role
from rooms.ids import AccountId
from server import wire
from server.database.accounts import (
    Accounts,
    FirstRunOver,
    LoginTaken,
    StoredAccount,
    hash_password,
    verify_password,
)
from server.http.caller import COOKIE, HOST, address, body, require_same_origin, set_session, staff
from server.http.problems import json_answer
from server.http.service import Service
from server.joining import Denial

SHORTEST_PASSWORD = 8


def _public(account: StoredAccount) -> wire.Account:
    return wire.Account(id=account.id, login=account.login, name=account.name, role=account.role)


async def new_stored_account(login: str, name: str, role: Role, password: str) -> StoredAccount:
    """Not in the database yet. Raises `Denial` (weak_password, bad_request)."""
    login, name = login.strip().lower(), " ".join(name.split())
    if not 1 <= len(login) <= 100 or not 1 <= len(name) <= 200 or "\0" in login + name:
        raise Denial("bad_request", "login")
    if not SHORTEST_PASSWORD <= len(password) <= 500:
        raise Denial("weak_password", "password")
    password_hash = await asyncio.to_thread(hash_password, password)
    return StoredAccount(AccountId(secrets.token_hex(6)), login, name, role, password_hash)


async def add_account(accounts: Accounts, login: str, name: str, role: Role, password: str) -> wire.Account:
    """Raises `Denial` (weak_password, bad_request, taken)."""
    account = await new_stored_account(login, name, role, password)
    try:
        await accounts.add(account, time.time())
    except LoginTaken as error:
        raise Denial("taken", "login") from error
    return _public(account)


async def first_run(request: web.Request, service: Service) -> web.StreamResponse:
    wanted = await body(request, wire.FirstRun)
    require_same_origin(request, service)
    if not hmac.compare_digest(wanted.secret.encode(), service.first_run_secret.encode()):
        raise Denial("bad_token")
    if await service.accounts.count() > 0:
        raise Denial("expired")
    account = await new_stored_account(wanted.login, wanted.name, "host", wanted.password)
    try:
        await service.accounts.add_first(account, wanted.secret, time.time())
    except FirstRunOver as error:
        raise Denial("expired") from error
    answer = json_answer(_public(account))
    set_session(answer, _public(account), service)
    return answer


async def login(request: web.Request, service: Service) -> web.StreamResponse:
    wanted = await body(request, wire.Login)
    require_same_origin(request, service)
    name = wanted.login.strip().lower()
    # by address only: a stranger's wrong guesses must not keep the host out on the day
    here = address(request, service)
    if service.logins.exhausted(here):
        raise Denial("too_many")
    account = await service.accounts.by_login(name)
    known_hash = account.password_hash if account else None
    if not await asyncio.to_thread(verify_password, known_hash, wanted.password) or account is None:
        service.logins.failed(here)
        raise Denial("login_failed")
    answer = json_answer(_public(account))
    set_session(answer, _public(account), service)
    return answer


async def logout(request: web.Request, service: Service) -> web.StreamResponse:
    require_same_origin(request, service)
    answer = json_answer({})
    answer.del_cookie(COOKIE, path="/")
    return answer


async def me(request: web.Request, service: Service) -> web.StreamResponse:
    caller = await staff(request, service)
    account = await service.accounts.by_id(caller.id)
    if account is None:
        raise Denial("unauthorised")
    return json_answer(_public(account))


async def list_accounts(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service, HOST)
    return json_answer([_public(account) for account in await service.accounts.all()])


async def new_account(request: web.Request, service: Service) -> web.StreamResponse:
    await staff(request, service, HOST)
    wanted = await body(request, wire.NewAccount)
    return json_answer(await add_account(service.accounts, wanted.login, wanted.name, wanted.role, wanted.password))

"""``/api/auth``: register, sign in, who am I, change that, sign out."""

from fastapi import APIRouter, Request, Response

from core.api.deps import Address, CurrentUser, SignedIn, SigningIn, bearer_token, note_user
from core.people import sessions, users
from core.people.sessions import AccessToken
from core.people.users import AccountChange, Credentials, Registration, User

public = APIRouter(route_class=SigningIn, tags=["auth"])
router = APIRouter(route_class=SignedIn, tags=["auth"])


@public.post("/auth/register", status_code=201)
def register(new: Registration, address: Address, request: Request, response: Response) -> AccessToken:
    """Make an account. The first one is the admin's; later ones need open registration or an invitation."""
    return _welcome(users.register(new, address=address), request, response)


@public.post("/auth/login")
def sign_in(credentials: Credentials, address: Address, request: Request, response: Response) -> AccessToken:
    """A token for the other calls. After 5 failures in 15 minutes: 429."""
    return _welcome(users.sign_in(credentials, address=address), request, response)


@router.get("/auth/me")
def who_am_i(user: CurrentUser) -> User:
    """The account the token belongs to."""
    return user


@router.patch("/auth/me")
def change_account(new: AccountChange, user: CurrentUser, request: Request) -> User:
    """Change the name, or the password with ``old_password``.

    A new password ends all sessions and tokens but the one this comes with. After 5 wrong old ones in 15
    minutes: 429.
    """
    return users.change(user, new, keep_jti=sessions.jti_of(bearer_token(request)))


@router.post("/auth/logout", status_code=204)
def sign_out(user: CurrentUser, request: Request) -> None:
    """This token is refused from now on."""
    sessions.revoke_jwt(bearer_token(request))


def _welcome(user: User, request: Request, response: Response) -> AccessToken:
    note_user(request, user)
    response.headers["Cache-Control"] = "no-store"
    return sessions.issue_jwt(user)

"""Which passwords are refused: too short, too long,
the e-mail address itself, or among those everybody tries first. And what pages say of the rule."""

from core.errors import Detail, ValidationError

MIN_LENGTH, MAX_LENGTH = 10, 128
DIFFER = "The two passwords differ. Type the same one twice."
HELP = (
    f"{MIN_LENGTH} to {MAX_LENGTH} characters. A few words in a row are easy to remember and hard to guess."
)

# The entries of ten characters and more in public lists of leaked passwords; shorter ones are refused by
# their length.
COMMON = frozenset(
    """
    password123 password1234 password12345 password123456 password1! password12! password123! passw0rd123
    p@ssw0rd123 p@ssword123 passwordpassword mypassword mypassword1 mypassword123 thisismypassword changeme123
    changeme1234 letmein123 letmein1234 welcome123 welcome1234 welcome2024 welcome2025 welcome2026
    administrator admin12345 admin123456 adminadmin administrator1 1234567890 12345678900 12345678910
    123456789a 123456789q 123456789abc 1234567891 12345678901 0123456789 0987654321 9876543210 1q2w3e4r5t
    1q2w3e4r5t6y 1qaz2wsx3edc 1qazxsw23edc 1234qwerasdf qwer1234asdf 123qweasdzxc qwe123asd456 asdf1234asdf
    1a2b3c4d5e qwertyuiop qwertyuiop1 qwertyuiop123 qwerty12345 qwerty123456 qwerty1234 qwertyqwerty
    qwertyuiopasdfghjkl asdfghjkl1 asdfghjklzxcvbnm zxcvbnm123 zxcvbnmasdf abcdefghij abcdefghijk
    abcdefghijklmnop abcdefgh123 abc1234567 abcd123456 abcde12345 abc123456789 a123456789 a1234567890
    q123456789 aa12345678 iloveyou123 iloveyou12 iloveyou1234 ilovemyfamily iloveyousomuch football123
    baseball123 basketball basketball1 superman123 batman12345 starwars123 pokemon1234 dragon12345 monkey12345
    princess123 chocolate1 strawberry butterfly1 computer123 internet123 liverpool1 manchester
    manchesterunited arsenal123 michael123 jennifer123 charlie123 jessica123 jordan12345
    correcthorsebatterystaple trustno1trustno1 secret12345 secretpassword test123456 testtest123 testing123
    testpassword guest12345 default123 q1w2e3r4t5 q1w2e3r4t5y6 zaq12wsxcde zaq1zaq1zaq1 samsung123 google12345
    facebook123 blink182blink 1029384756 1357924680 2468101214 3141592653 1122334455 1212121212 1231231231
    123123123a 123321123321 123123123123 1233211233 0000000001 google1234 linkedin123 yourpassword
    unbelievable
    """.split()
)


def require_same(password: str, again: str) -> None:
    """For forms that ask twice. Raises ValidationError about the field ``again``."""
    if password != again:
        raise ValidationError(DIFFER, details=[Detail("again", DIFFER)])


def find_fault(password: str, *, email: str) -> str | None:
    """What is wrong with this new password, or None. Lengths count code points; nothing is cut off."""
    if len(password) < MIN_LENGTH:
        return f"at least {MIN_LENGTH} characters"
    if len(password) > MAX_LENGTH:
        return f"at most {MAX_LENGTH} characters"
    if password.strip().lower() == email:
        return "must not be the e-mail address"
    if password.lower() in COMMON:
        return "is one of the passwords that everybody tries first; choose another"
    return None

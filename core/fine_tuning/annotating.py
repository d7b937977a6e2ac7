"""What a person writes about a job: notes and tags."""

from pydantic import Field, field_validator
from sqlalchemy import String, cast, select

from core.db import reading, writing
from core.fields import Input
from core.fine_tuning.owned import find
from core.fine_tuning.values import Job, present
from core.people.users import User
from core.tables import JobRow

MOST_TAGS, LONGEST_TAG = 20, 40


class Annotation(Input):
    """What is left out stays as it is."""

    notes: str | None = Field(None, max_length=10_000)
    tags: list[str] | None = Field(None, max_length=MOST_TAGS)

    @field_validator("tags")
    @classmethod
    def _tags_are_words(cls, tags: list[str] | None) -> list[str] | None:
        """Without blanks around, each once, in the order given."""
        if tags is None:
            return None
        words = list(dict.fromkeys(" ".join(tag.split()) for tag in tags))
        if any(not word or len(word) > LONGEST_TAG or "," in word for word in words):
            raise ValueError(f"must be words of 1 to {LONGEST_TAG} characters without commas")
        return words


def tags(user: User) -> list[str]:
    """The tags of the user's jobs, by the alphabet."""
    with reading() as session:
        tag_lists = session.scalars(
            select(JobRow.tags).where(JobRow.user_id == user.id, cast(JobRow.tags, String) != "[]")
        )
        return sorted({tag for tag_list in tag_lists for tag in tag_list}, key=str.casefold)


def annotate(user: User, job_id: str, new: Annotation) -> Job:
    """Raises NotFound."""
    with writing() as session:
        row: JobRow = find(session, user, job_id)
        if new.notes is not None:
            row.notes = new.notes
        if new.tags is not None:
            row.tags = new.tags
        session.flush()
        return present(session, row)

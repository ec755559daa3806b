"""What a server allows its clients."""

from typing import Annotated

from pydantic import Field

from zoetrope.config import Config

Positive = Annotated[int, Field(gt=0)]


class Limits(Config):
    """The most that clients may ask of a server.

    Attributes:
        upload: bytes of one file.
        files: bytes of all files that were sent, of which those of no job are removed first.
        disk: bytes of all jobs; above that no job is taken until some are removed.
        queue: jobs that wait.
        seconds: of work on one job.
        listeners: connections that follow jobs at the same time.
        body: bytes of a request that is not a file.
        patience: seconds for the body of a request to arrive.
    """

    upload: Positive = 64 * 2**20
    files: Positive = 2 * 2**30
    disk: Positive = 10 * 2**30
    queue: Positive = 32
    seconds: Positive = 3600
    listeners: Positive = 32
    body: Positive = 64 * 2**10
    patience: Positive = 120

"""The settings of one server. Nothing else reads ``os.environ``.

Every setting is an environment variable ``LUTHIER_…`` or a line in ``.env``; README lists them all and a test
compares.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
RegistrationMode = Literal["open", "invite", "closed"]
# For a process that forks: with these in its environment NumPy and Arrow start no threads
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LUTHIER_", env_file=ROOT / ".env", extra="ignore")

    host: str = Field(
        "127.0.0.1", description="Address the server listens on. 0.0.0.0 opens it to the network."
    )
    port: int = Field(8501, ge=1, le=65535, description="Port the server listens on.")
    data_dir: Path = Field(
        ROOT / "data", description="Folder of everything Luthier stores. Back up this one."
    )
    database_url: str = Field(
        "", description="SQLAlchemy address of the metadata database. Empty: SQLite in the data folder."
    )
    jwt_secret: str = Field(
        "", description="Secret that signs tokens, at least 32 characters. Empty: made at first start."
    )
    jwt_minutes: int = Field(60, ge=1, le=1440, description="How long an API token is valid, in minutes.")
    session_days: int = Field(14, ge=1, le=365, description="How long a browser stays signed in, in days.")
    registration: RegistrationMode = Field(
        "invite", description="Who may register: open, invite or closed. The admin page overrides it."
    )
    registrations_per_hour: int = Field(
        40, ge=1, description="Successful registrations per hour and client address."
    )
    cors_origins: str = Field(
        "", description="Origins that may call the APIs from a browser, comma-separated. Empty: none."
    )
    allowed_hosts: str = Field(
        "", description="Extra host names the page may be opened under, comma-separated."
    )
    trusted_proxies: str = Field(
        "", description="Addresses whose X-Forwarded-For is believed, comma-separated."
    )
    max_upload_mb: int = Field(2048, ge=1, description="Largest upload, in MiB.")
    max_expanded_mb: int = Field(20480, ge=1, description="Largest size an upload may expand to, in MiB.")
    upload_chunk_mb: int = Field(
        8, ge=1, le=64, description="Size of the pieces in which the browser sends a file, in MiB."
    )
    upload_keep_hours: int = Field(
        48, ge=1, description="An upload that nobody finishes or reviews is removed after this, in hours."
    )
    url_hosts: str = Field(
        "",
        description="Hosts that files may be fetched from, comma-separated. Empty: no import from addresses.",
    )
    webhook_hosts: str = Field(
        "",
        description=(
            "Private hosts that alerts may be sent to, comma-separated, host or host:port. Empty: "
            "public hosts only."
        ),
    )
    import_folders: str = Field(
        "", description="Folders of this server that all users may import from, comma-separated. Empty: none."
    )
    disk_reserve_mb: int = Field(
        512, ge=0, description="Free disk space below which nothing new is written, in MiB."
    )
    trash_days: int = Field(
        30,
        ge=1,
        le=3650,
        description=(
            "What no row of the database names is moved to the trash folder and deleted after this, in days."
        ),
    )
    query_seconds: float = Field(20, gt=0, description="Deadline of one SQL query, in seconds.")
    query_memory_mb: int = Field(512, ge=64, description="Memory of one SQL query, in MiB.")
    query_concurrency: int = Field(4, ge=1, description="SQL queries that run at the same time; others wait.")
    training_concurrency: int = Field(
        1, ge=1, description="Fine-tuning jobs that run at the same time; others wait in the queue."
    )
    training_threads: int = Field(
        0, ge=0, description="CPU threads of a fine-tuning job. 0: chosen from the cores and the load."
    )
    training_devices: int = Field(
        0,
        ge=0,
        description=(
            "Devices that fine-tuning jobs share, one per process of a job. 0: as many as GPUs, "
            "without GPUs as CPU cores."
        ),
    )
    training_stall_seconds: int = Field(
        600,
        ge=10,
        description=(
            "A training without a step for this long, and much longer than its steps take, is restarted, "
            "in seconds."
        ),
    )
    checkpoint_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Checkpoints of an ended job that nobody keeps are removed after this, in days.",
    )
    llama_cpp: str = Field(
        "",
        description=(
            "Folder of llama.cpp for GGUF exports of other architectures than Llama's and Qwen's. Empty: "
            "none."
        ),
    )
    mlflow_uri: str = Field(
        "",
        description=(
            "MLflow tracking server (http…) or folder that runs are exported to. Empty: no export to MLflow."
        ),
    )
    cost_per_hour: float = Field(
        0,
        ge=0,
        description=(
            "What an hour of one device costs, in your currency; shown with each model. 0: not shown."
        ),
    )
    ray_address: str = Field(
        "",
        description=(
            "Ray cluster that jobs may run on, such as http://head:8265. Empty: "
            "jobs run on this machine only."
        ),
    )
    ray_token: str = Field(
        "", description="Token of the Ray cluster, when it was started with RAY_AUTH_MODE=token."
    )
    ray_cpus: float = Field(
        1, ge=0, le=1024, description="CPU cores that one process of a job reserves on the Ray cluster."
    )
    ray_gpus: float = Field(
        0, ge=0, le=64, description="GPUs that one process of a job reserves on the Ray cluster."
    )
    user: str = Field(
        "", description="E-mail address of the account that the command line works as. Empty: the only one."
    )
    inference_idle_seconds: int = Field(
        900, ge=10, description="A loaded model that nobody asks is unloaded after this, in seconds."
    )
    inference_threads: int = Field(1, ge=1, description="CPU threads that answer chats.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much the server logs."
    )

    @field_validator("jwt_secret")
    @classmethod
    def _secret_is_strong(cls, secret: str) -> str:
        if secret and (len(secret) < 32 or len(set(secret)) < 8):
            raise ValueError(
                "LUTHIER_JWT_SECRET is too weak: give at least 32 random characters, "
                "or leave it empty to have one made."
            )
        return secret

    @field_validator("ray_address")
    @classmethod
    def _ray_address_is_http(cls, address: str) -> str:
        if address and not address.startswith(("http://", "https://")):
            raise ValueError(
                "LUTHIER_RAY_ADDRESS is the address of the cluster's dashboard and begins with http:// or "
                "https://."
            )
        return address

    @property
    def sqlalchemy_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'luthier.db'}"

    @property
    def cors_origin_list(self) -> list[str]:
        return [o.strip() for o in self.cors_origins.split(",") if o.strip() and o.strip() != "*"]

    @property
    def url_host_list(self) -> list[str]:
        return [h.strip().lower() for h in self.url_hosts.split(",") if h.strip()]

    @property
    def webhook_host_list(self) -> list[str]:
        return [h.strip().lower() for h in self.webhook_hosts.split(",") if h.strip()]

    @property
    def import_folder_list(self) -> list[Path]:
        return [Path(f.strip()).expanduser().resolve() for f in self.import_folders.split(",") if f.strip()]

    @property
    def trusted_proxy_list(self) -> list[str]:
        return [p.strip() for p in self.trusted_proxies.split(",") if p.strip()]


@lru_cache
def settings() -> Settings:
    """The settings, read once. Tests call ``settings.cache_clear()`` after changing the environment."""
    values = Settings()
    return values.model_copy(update={"data_dir": values.data_dir.expanduser().resolve()})


def process_place() -> tuple[int, int, int]:
    """(rank, number of processes, rank on this machine) as torchrun says it;
    (0, 1, 0) for a process that stands alone."""
    rank, size, local = (
        int(os.environ.get(name, alone))
        for name, alone in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))
    )
    return rank, size, local


def child_environment(**extra: str) -> dict[str, str]:
    """The environment of a child process: ours without the settings,
    whose secrets are none of its business, plus ``extra``.

    Threads that wait for each other spin a short while only: spinning for long halves the speed on a machine
    that is shared.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LUTHIER_")}
    chosen = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {"GOMP_SPINCOUNT": "10000", **inherited, **chosen, **extra}


def sibling_environment(**extra: str) -> dict[str, str]:
    """For a child that works on the same data and database, plus ``extra``."""
    return child_environment(**shared_settings(), **extra)


def shared_settings() -> dict[str, str]:
    """What every process that works on our data has to know, here or on another machine."""
    chosen = settings()
    return {
        "LUTHIER_DATA_DIR": str(chosen.data_dir),
        "LUTHIER_DATABASE_URL": chosen.database_url,
        "LUTHIER_TRAINING_THREADS": str(chosen.training_threads),
        "LUTHIER_INFERENCE_THREADS": str(chosen.inference_threads),
        "LUTHIER_DISK_RESERVE_MB": str(chosen.disk_reserve_mb),
        "LUTHIER_MAX_EXPANDED_MB": str(chosen.max_expanded_mb),
        "LUTHIER_TRASH_DAYS": str(chosen.trash_days),
        "LUTHIER_COST_PER_HOUR": str(chosen.cost_per_hour),
        "LUTHIER_LOG_LEVEL": chosen.log_level,
    }


def replace_environment(environment: Mapping[str, str]) -> None:
    """For a process that was forked: from now on it has these variables and settings, and no others."""
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()


def bare_environment(**extra: str) -> dict[str, str]:
    """Only what a program needs to start at all, plus ``extra``: for a process that is to know nothing."""
    needed = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {**{name: os.environ[name] for name in needed if name in os.environ}, **extra}

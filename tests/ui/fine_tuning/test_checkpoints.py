"""Checkpoints on the job's page, and the chat with one."""

import pytest
from streamlit.testing.v1 import AppTest

from core import chats, fine_tuning, storage
from core.db import reading, writing
from core.people.users import User
from core.providers import PROVIDERS
from core.security import new_id
from core.tables import CheckpointRow, ModelRow, ModelVersionRow
from core.ui.fine_tuning import checkpoint_view, evaluation_view
from tests.ui.conftest import Visit, text_of
from tests.ui.things import Echo, make_dataset, make_job

STEPS = {20: 1.4, 40: 1.1, 60: 1.3}


@pytest.fixture
def job_id(ada: User) -> str:
    """A finished job on a base, with three checkpoints; the best is that of step 40."""
    with writing() as session:
        base = ModelRow(id=new_id("mdl"), name="base", type="base", provider="echo")
        session.add(base)
        session.flush()
        version = ModelVersionRow(id=new_id("mdv"), model_id=base.id, version=1, folder="nowhere")
        session.add(version)
        session.flush()
        of_base = {"base_model_id": base.id, "base_version_id": version.id}
    made = make_job(ada, "succeeded", step=60, total_steps=60, **of_base)
    for step, loss in STEPS.items():
        folder = storage.checkpoint_model_dir(made, step)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        metrics = {"valid_loss": loss, "train_loss": loss - 0.1}
        with writing() as session:
            session.add(
                CheckpointRow(
                    id=new_id("ckpt"), job_id=made, step=step, metrics=metrics, size_bytes=5_000_000
                )
            )
    return made


@pytest.fixture(autouse=True)
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROVIDERS, "echo", Echo())


def choose(app: AppTest, step: int) -> AppTest:
    app.session_state[checkpoint_view.CHOSEN] = step
    return app.run()


def pick(app: AppTest, action: str) -> AppTest:
    return app.menu_button(key="checkpoint_more").set_value(action).run()


def test_the_table_says_what_is_best_latest_and_kept(ada: User, visit: Visit, job_id: str) -> None:
    fine_tuning.pin_checkpoint(ada, job_id, 20)
    fine_tuning.promote_checkpoint(ada, job_id, 60)
    app = visit(ada, "job", id=job_id)
    assert not app.exception
    shown = app.dataframe(key="job_checkpoint_table").value
    assert list(shown["step"]) == [60, 40, 20]
    assert [list(tags) for tags in shown["tags"]] == [["latest", "promoted"], ["best"], ["kept"]]
    assert "the best one and those you keep" in text_of(app)


def test_keep_and_stop_keeping_is_one_press(ada: User, visit: Visit, job_id: str) -> None:
    app = choose(visit(ada, "job", id=job_id), 40)
    pick(app, "Keep")
    assert fine_tuning.get_checkpoint(ada, job_id, 40).pinned
    pick(app, "Stop keeping")
    assert not fine_tuning.get_checkpoint(ada, job_id, 40).pinned
    assert not app.exception


def test_delete_asks_before_it_acts(ada: User, visit: Visit, job_id: str) -> None:
    app = choose(visit(ada, "job", id=job_id), 40)
    pick(app, "Delete")
    assert fine_tuning.get_checkpoint(ada, job_id, 40)
    app.button(key="checkpoint_delete_yes").click().run()
    assert list(app.dataframe(key="job_checkpoint_table").value["step"]) == [60, 20]
    assert not storage.checkpoint_model_dir(job_id, 40).exists()


def test_what_a_job_needs_is_refused_with_a_sentence(ada: User, visit: Visit) -> None:
    job_id = make_job(ada, "paused")
    with writing() as session:
        session.add(CheckpointRow(id=new_id("ckpt"), job_id=job_id, step=40, metrics={}, size_bytes=1))
    app = pick(visit(ada, "job", id=job_id), "Delete")
    app.button(key="checkpoint_delete_yes").click().run()
    assert not app.exception
    assert "goes on from the checkpoint of step 40" in text_of(app)


def test_promote_asks_for_a_name_and_says_what_came(ada: User, visit: Visit, job_id: str) -> None:
    app = pick(choose(visit(ada, "job", id=job_id), 40), "Promote")
    assert app.text_input(key="checkpoint_name").value == "support-bot-step-40"
    app.text_input(key="checkpoint_name").input("mine")
    app.button(key="checkpoint_promote").click().run()
    assert not app.exception
    with reading() as session:
        model = session.query(ModelRow).filter_by(name="mine").one()
        assert (
            session.query(ModelVersionRow).filter_by(model_id=model.id).one().settings["checkpoint_step"]
            == 40
        )
    assert "Step 40 is mine" in text_of(app)


@pytest.mark.parametrize(("action", "page"), [("Train further", "base"), ("Export", "id")])
def test_training_further_and_exporting_promote_by_themselves(
    ada: User, visit: Visit, job_id: str, action: str, page: str
) -> None:
    app = pick(choose(visit(ada, "job", id=job_id), 40), action)
    assert not app.exception
    with reading() as session:
        model = session.query(ModelRow).filter_by(name="support-bot-step-40").one()
    assert app.query_params[page] in (model.id, [model.id])


def test_evaluate_offers_rows_and_begins(ada: User, visit: Visit, job_id: str) -> None:
    version = make_dataset(ada, [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(5)])
    app = pick(choose(visit(ada, "job", id=job_id), 40), "Evaluate")
    assert app.selectbox(key="checkpoint_rows").options == ["faq v1, 5 rows"]
    app.button(key="checkpoint_evaluate").click().run()
    assert not app.exception
    evaluation = fine_tuning.get_checkpoint(ada, job_id, 40).metrics["evaluation"]
    assert (evaluation["status"], evaluation["dataset_version_id"]) == ("waiting", version.id)
    assert evaluation["ahead"] == 0


def test_an_evaluation_is_told_in_one_line() -> None:
    told = evaluation_view.describe(
        {
            "loss": 0.3124,
            "accuracy": 0.92,
            "exact_match": 0.8,
            "num_answers": 50,
            "num_rows": 50,
            "dataset": "faq v1",
            "rows": "all",
        }
    )
    assert (
        told == "Loss **0.312** · **92%** of tokens right · **40 of 50** answers exact, on 50 rows of faq v1"
    )


def test_the_chat_page_talks_to_a_checkpoint(ada: User, visit: Visit, job_id: str) -> None:
    name = f"{job_id}:step-40"
    app = visit(ada, "chat", model=name)
    assert app.selectbox(key="chat_model").value == name
    assert "Ask support-bot" in text_of(app)
    app.chat_input(key="chat_input").set_value("hello there").run()
    assert not app.exception
    chat = chats.list_chats(ada, chats.ChatList()).items[0]
    assert chat.model_id == name


def test_the_chat_of_a_checkpoint_that_is_gone_says_so(ada: User, visit: Visit, job_id: str) -> None:
    chat = chats.create(ada, chats.NewChat(model_id=f"{job_id}:step-40"))
    fine_tuning.delete_checkpoint(ada, job_id, 40)
    app = visit(ada, "chat", id=chat.id)
    assert not app.exception
    assert "The checkpoint of step 40 was removed" in text_of(app)
    assert app.chat_input(key="chat_input").disabled


def test_a_run_can_be_taken_along_from_its_page(ada: User, visit: Visit, job_id: str) -> None:
    app = visit(ada, "job", id=job_id)
    links = [link.proto.url for link in app.get("link_button")]
    assert f"/download/job/{job_id}/report?as=ipynb" in links
    assert f"/download/job/{job_id}/report?as=zip" in links
    assert not [link for link in links if link.endswith("tensorboard")]  # there are no events
    assert app.button(key="job_mlflow").disabled
    assert "LUTHIER" in text_of(app)
    (storage.job_dir(job_id) / "tensorboard").mkdir(parents=True)
    (storage.job_dir(job_id) / "tensorboard" / "events").write_bytes(b"x")
    assert [link for link in app.run().get("link_button") if link.proto.url.endswith("tensorboard")]

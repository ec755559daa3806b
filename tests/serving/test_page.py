"""The page of `zoetrope serve` in a browser without a window, as a person uses it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the packages of the extra `ui` are not here")
pytest.importorskip("starlette", reason="the packages of the extra `ui` are not here")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is not here")

from zoetrope.metrics.recogniser import recognise  # noqa: E402
from zoetrope.recipes import load_recipe  # noqa: E402
from zoetrope.serving.describing import asked  # noqa: E402
from zoetrope.video import read, save_image  # noqa: E402

from .conftest import VIEWS, WAIT, Server  # noqa: E402
from .test_asked import send  # noqa: E402

PROMPT = "a red star moving down on a black background"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, as the system has it."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The page, of which nothing goes wrong: no script fails, and nothing is refused."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    opened.set_default_timeout(WAIT * 1000)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.goto(str(server.http.base_url))
    opened.wait_for_selector("#model option", state="attached")
    yield opened
    opened.close()
    assert wrong == []


def choose(page: Any, model: str, until: str) -> None:
    """Choose a model and the last stage."""
    page.select_option("#model", model)
    page.check(f"[name=until][value={until}]", force=True)


def test_a_prompt_becomes_a_video(page: Any, server: Server, tmp_path: Path) -> None:
    choose(page, "mini", "base")
    page.fill("#prompt", PROMPT)
    page.click("#go")
    page.wait_for_selector("#viewer video")
    page.wait_for_selector("#viewer .steps, #viewer dl", state="attached")
    film = page.locator("#viewer video")
    film.evaluate(
        """async (film) => {
            await film.play();
            while (film.currentTime < 0.3) await new Promise((done) => setTimeout(done, 50));
        }"""
    )
    assert film.evaluate("(film) => film.videoWidth") == 40 and film.evaluate("(film) => film.error") is None
    with page.expect_download() as taken:
        page.click("a[download$='.mp4']")
    taken.value.save_as(tmp_path / "video.mp4")
    video = read(tmp_path / "video.mp4")
    judged = recognise(video.frames, video.fps)
    assert (judged.colour, judged.shape) == ("red", "star"), judged
    page.reload()  # the history is on the disk
    page.wait_for_selector(".card")
    assert PROMPT in page.inner_text("#history") and page.locator("#viewer video").count() == 1
    page.click("text=Use these settings")
    assert page.input_value("#prompt") == PROMPT and page.input_value("#model") == "mini"


def test_queue_cancel_and_a_picture_dropped_in(page: Any, server: Server, tmp_path: Path) -> None:
    choose(page, "tiny", "base")
    page.click("#more summary")
    page.fill("#steps", "1000")
    page.fill("#seed", "41")
    page.select_option("#grid", "4")
    page.evaluate(
        """() => {
            const seen = new Set();
            const look = (changes) => {
                for (const { target } of changes) seen.add(target.dataset.version);
                document.body.dataset.seen = seen.size;
            };
            const watched = { subtree: true, attributeFilter: ["data-version"] };
            new MutationObserver(look).observe(document.getElementById("viewer"), watched);
        }"""
    )
    page.click("#go")
    page.wait_for_selector(".card .state-running")
    page.wait_for_selector(".screens.many .screen >> nth=3")
    assert page.locator(".card .state-queued").count() >= 2 and "waiting" in page.inner_text("#standing")
    page.wait_for_selector("body[data-seen]:not([data-seen='1'])")  # it denoises before one's eyes
    assert [
        text.split(", ")[1] for text in page.locator(".screens figcaption > span:first-child").all_inner_texts()
    ] == ["seed 41", "seed 42", "seed 43", "seed 44"]
    for number in range(4):
        page.locator(".screens.many .frame").nth(number).click()
        page.click("#viewer button:text-is('Cancel')")
        page.wait_for_selector(f".screens.many .screen:nth-child({number + 1}) .state-cancelled")
    assert "It was cancelled." in page.inner_text("#viewer .below")
    page.wait_for_selector("#standing:has-text('Ready')")
    choose(page, "mini", "base")
    picture = np.full((24, 40, 3), 30, np.uint8)
    picture[6:16, 12:24] = (220, 30, 30)
    save_image(tmp_path / "first.png", picture)
    dropped(page, "[data-drop=first]", (tmp_path / "first.png").read_bytes())
    page.wait_for_selector("[data-drop=first] img")
    page.fill("#steps", "")
    page.fill("#prompt", "a red square")
    page.select_option("#grid", "1")
    page.click("#go")
    page.wait_for_selector("#viewer video")
    job = server.http.get("/api/jobs").json()["jobs"][0]
    assert list(job["request"]["known"]) == ["0"] and job["state"] == "done", job
    (tmp_path / "known.mp4").write_bytes(server.http.get(f"/api/jobs/{job['id']}/video.mp4").content)
    first = read(tmp_path / "known.mp4").frames[0].astype(int)
    assert np.abs(first - picture).mean() < 12, "the first frame is the picture, as exactly as the codec keeps it"


def dropped(page: Any, where: str, content: bytes) -> None:
    """Drop a file, as a person does with the mouse."""
    page.locator(where).evaluate(
        """(place, bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "first.png", { type: "image/png" }));
            place.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        list(content),
    )


def test_what_a_model_is_told_is_filled_in(page: Any, server: Server, tmp_path: Path) -> None:
    """Its fields come and go with the model, and come back with the settings of a job."""
    choose(page, "tiny", "base")
    assert not any(page.is_visible(part) for part in ("#inputs-part", "#control-part", "#prompt"))
    choose(page, "drawn", "base")
    assert page.is_visible("[data-drop=picture]") and page.is_visible("[data-drop='control edges']")
    choose(page, "hearts", "base")
    assert page.is_visible("text=ef, from 0.1 to 0.9") and not page.is_visible("#control-part")
    page.fill("[data-given=ef]", "0.25")
    page.select_option("[data-given=view]", VIEWS[-1])
    page.fill("[data-given=action]", "1, 0\n0, x")
    page.click("#go")
    page.wait_for_selector("#wrong:has-text('action: expected numbers with commas between, got “x” in line 2')")
    page.fill("[data-given=action]", "1, 0\n0, -1\nnan, nan\n0.5, 2")
    np.save(tmp_path / "land.npy", np.ones((16, 8), np.float32))
    page.set_input_files("[data-drop='map land'] input", tmp_path / "land.npy")
    page.wait_for_selector("[data-drop='map land']:has-text('land.npy')")
    page.click("#more summary")
    page.select_option("#sampler", "heun")
    page.select_option("#size", "16x8")
    page.wait_for_selector("#stages :text('8\N{MULTIPLICATION SIGN}16')")
    assert "16\N{MULTIPLICATION SIGN}8, or larger" in page.inner_text("#inputs")
    page.select_option("#colours", "turbo")
    cards = page.locator(".card").count()
    page.click("#go")
    page.wait_for_selector(f".card >> nth={cards}")
    job = server.until(server.http.get("/api/jobs").json()["jobs"][0]["id"])
    assert job["state"] == "done" and job["result"]["height"] == 16, job
    page.wait_for_selector(f"#viewer video[src*='{job['id']}']")
    assert "ef 0.25, view de" in page.inner_text("#viewer .told")
    made = job["request"]
    actions = [[1, 0], [0, -1], [None, None], [0.5, 2]]
    assert made["given"] == {"ef": 0.25, "view": VIEWS[-1], "action": actions} and list(made["map"]) == ["land"]
    assert (made["sampler"], made["size"], made["colours"], made["channel"]) == ("heun", [16, 8], "turbo", None)
    choose(page, "tiny", "base")
    page.click("text=Use these settings")
    page.wait_for_selector("[data-drop='map land'] .file")
    page.click("#go")
    page.wait_for_selector(f".card >> nth={cards + 1}")
    jobs = server.http.get("/api/jobs").json()["jobs"]
    assert jobs[0]["request"] == jobs[1]["request"] == made


def made(page: Any, server: Server) -> dict[str, Any]:
    """What the server takes when the form is sent."""
    cards = page.locator(".card").count()
    page.click("#go")
    page.wait_for_selector(f".card >> nth={cards}")
    return dict(server.http.get("/api/jobs").json()["jobs"][0]["request"])


def test_what_is_hidden_keeps_no_job_back(page: Any, server: Server, clip: bytes) -> None:
    """Though it may be wrong: it is another model's, or of another kind of job."""
    page.click("#more summary")
    page.select_option("#size", "other")
    page.fill("#height", "9999")
    page.select_option("#size", "")
    choose(page, "hearts", "base")
    page.fill("[data-given=ef]", "5")
    page.fill("#seed", "")
    page.check("[name=kind][value=upscale]", force=True)
    page.select_option("#model", "tiny")
    page.set_input_files("[data-drop=video] input", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": clip})
    page.wait_for_selector("[data-drop=video] video")
    assert made(page, server)["kind"] == "upscale"
    page.check("[name=kind][value=generate]", force=True)
    page.fill("#seed", "3")
    page.select_option("#model", "drawn")
    assert made(page, server)["seed"] == 3


def test_no_job_is_made_without_a_file_that_is_being_sent(page: Any, server: Server, clip: bytes) -> None:
    choose(page, "drawn", "base")
    place, held = "[data-drop='control edges']", list[Any]()
    page.route("**/api/files", lambda route: held.append(route))
    page.set_input_files(f"{place} input", {"name": "a.mp4", "mimeType": "video/mp4", "buffer": clip})
    page.wait_for_selector(f"{place}:has-text('Sending')")
    jobs = server.http.get("/api/jobs").json()["jobs"]
    page.click("#go")
    page.wait_for_selector("#wrong:has-text('still being sent')")
    choose(page, "hearts", "base")
    choose(page, "drawn", "base")  # its places are made anew
    assert "Sending" in page.inner_text(place)
    held[0].continue_()
    page.wait_for_selector(f"{place} video")
    assert server.http.get("/api/jobs").json()["jobs"] == jobs
    assert list(made(page, server)["control_from"]) == ["edges"]


def use(page: Any, server: Server, name: str) -> None:
    """Fill the form with the settings of a job."""
    server.until(name)
    page.goto(f"{server.http.base_url}#{name}")
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    page.wait_for_selector(f"#viewer dd:text('{name}')", state="attached")
    page.click("text=Use these settings")


def test_settings_of_jobs_that_the_form_lacks_are_told(page: Any, server: Server, clip: bytes) -> None:
    name = server.submit(model="drawn", control_from={"edges": send(server, clip)}, fit="exact")["id"]
    use(page, server, name)
    page.wait_for_selector("#wrong:has-text('cannot show the fit “exact”')")
    page.wait_for_selector("[data-drop='control edges'] video")
    assert page.is_visible("#wrong")
    name = server.submit(sampler="ddim")["id"]  # of both stages, of which one has another
    use(page, server, name)
    assert made(page, server)["sampler"] == "ddim"


def test_what_a_compared_model_is_not_told_is_said_at_once(page: Any, server: Server) -> None:
    """Before the first of its jobs is sent."""
    choose(page, "hearts", "base")
    page.fill("[data-given=ef]", "0.25")
    page.select_option("[data-given=view]", "apical")
    model = next(one for one in server.http.get("/api/models").json() if one["offer"] == "hearts")
    said = "async (model) => (await import('/inputs.js')).read(model, null).given"
    assert page.evaluate(said, model) == {"ef": 0.25, "view": "apical"}
    for name, fields in (("ef", {"lo": 0.5}), ("view", {"classes": ["parasternal"]})):
        other = {**model, "inputs": [{**each, **fields} for each in model["inputs"] if each["name"] == name]}
        with pytest.raises(playwright.Error, match=f"{name}: expected"):
            page.evaluate(said, other)


def test_one_picture_has_one_place(page: Any) -> None:
    """Though the model both shows it and begins with it."""
    inputs = asked(load_recipe("svd").cascade)
    assert [each["kind"] for each in inputs].count("picture") == 2
    model = {"offer": "svd", "until": "base", "stages": [{"name": "base"}], "inputs": inputs, "controls": []}
    page.evaluate("async (model) => (await import('/inputs.js')).offer(model, null)", model)
    assert page.locator("[data-drop=picture]").count() == 1 and "begin with" in page.inner_text("[data-drop=picture]")


def test_it_fits_a_phone(browser: Any, server: Server) -> None:
    opened = browser.new_page(viewport={"width": 360, "height": 740})
    opened.set_default_timeout(WAIT * 1000)
    opened.goto(str(server.http.base_url))
    opened.wait_for_selector("#model option", state="attached")
    for view in ("make", "trainings", "evaluations"):
        opened.click(f"nav button[data-view={view}]")
        opened.wait_for_selector(f"#{view} > *")
        assert opened.locator("html").evaluate("(page) => page.scrollWidth") <= 360, view
    opened.close()

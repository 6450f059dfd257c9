// Fills the dry run into a confirmation page: asks for it at once, then looks every second until it is there.
// Without a script the form's button opens the dry run in a page of its own, which reloads itself.
const asking = document.querySelector("form[data-rehearse]");
const place = document.getElementById("rehearsal");

const failed = () => {
    place.textContent = "The dry run could not be fetched. Reload the page to try again; you can also replay without it.";
};

const show = async (answer) => {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.getElementById("rehearsal");
    if (!answer.ok || !found) {
        failed();
        return;
    }
    if (place.innerHTML !== found.innerHTML) {
        place.replaceChildren(...found.childNodes);
    }
    if (found.dataset.state !== "done") {
        window.setTimeout(() => { fetch(answer.url).then(show).catch(failed); }, 1000);
    }
};

const ask = () => {
    fetch(asking.action, { method: "POST", body: new FormData(asking) }).then(show).catch(failed);
};

if (asking && place) {
    asking.addEventListener("submit", (event) => {
        event.preventDefault();
        ask();
    });
    if (asking.dataset.rehearse === "at once") {
        ask();
    }
}

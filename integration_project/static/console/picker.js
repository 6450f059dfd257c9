// Turns a picker's text box into a combobox that searches as somebody types. Without this script the box is searched when
// the form is sent. The form always sends the answer under the box's own name: an entry's key, or else the typed words.
(() => {
    const PAUSE = 200;

    function enhance(picker) {
        const sent = picker.querySelector("input[type=text]");
        const note = picker.querySelector("[data-picker-chosen]");
        if (!sent || picker.dataset.ready) {
            return;
        }
        picker.dataset.ready = "yes";
        const box = sent.cloneNode(false);
        const list = document.createElement("ul");
        box.removeAttribute("name");
        box.value = picker.dataset.text || sent.value;
        sent.type = "hidden";
        sent.removeAttribute("id");
        list.id = `${box.id}-list`;
        list.className = "c-options";
        list.setAttribute("role", "listbox");
        const title = document.querySelector(`label[for="${box.id}"]`);
        list.setAttribute("aria-label", title ? title.textContent.trim() : "Matches");
        list.hidden = true;
        note.setAttribute("role", "status");
        note.id = `${box.id}-note`;
        note.textContent = picker.dataset.text ? "Type to choose another." : "Type a part of the name, a code or an id.";
        for (const [name, value] of Object.entries({
            role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id,
            "aria-describedby": `${sent.getAttribute("aria-describedby") || ""} ${note.id}`.trim(), autocomplete: "off", spellcheck: "false",
        })) {
            box.setAttribute(name, value);
        }
        sent.before(box);
        box.after(list);

        let choices = [], active = -1, timer = 0, asking = null, text = box.value;

        function close() {
            list.hidden = true;
            active = -1;
            box.setAttribute("aria-expanded", "false");
            box.removeAttribute("aria-activedescendant");
        }

        function mark(index) {
            active = index;
            [...list.children].forEach((option, number) => option.setAttribute("aria-selected", String(number === index)));
            if (index < 0) {
                box.removeAttribute("aria-activedescendant");
                return;
            }
            box.setAttribute("aria-activedescendant", list.children[index].id);
            list.children[index].scrollIntoView({ block: "nearest" });
        }

        function choose(index) {
            const choice = choices[index];
            sent.value = choice.value;
            text = box.value = choice.detail ? `${choice.name} (${choice.detail})` : choice.name;
            note.textContent = "Chosen.";
            picker.querySelectorAll("input[type=radio]").forEach((radio) => { radio.checked = false; });
            sent.dispatchEvent(new Event("change", { bubbles: true }));
            close();
        }

        function show(found) {
            choices = found.choices;
            list.replaceChildren(...choices.map((choice, number) => {
                const option = document.createElement("li");
                const small = document.createElement("small");
                option.id = `${list.id}-${number}`;
                option.setAttribute("role", "option");
                option.setAttribute("aria-selected", "false");
                option.append(choice.name);
                small.textContent = choice.detail;
                option.append(small);
                option.addEventListener("mousedown", (event) => event.preventDefault());
                option.addEventListener("click", () => choose(number));
                return option;
            }));
            list.hidden = choices.length === 0;
            active = -1;
            box.setAttribute("aria-expanded", String(choices.length > 0));
            box.removeAttribute("aria-activedescendant");
            const count = `${choices.length} ${choices.length === 1 ? "match" : "matches"}`;
            note.textContent = choices.length === 0 ? "Nothing in the catalogue matches."
                : found.more ? `The first ${count}; add a word to narrow them.` : `${count}; choose with the arrow keys.`;
        }

        async function search(words) {
            asking?.abort();
            asking = new AbortController();
            note.textContent = "Searching ...";
            try {
                const address = `${picker.dataset.url}&q=${encodeURIComponent(words)}`;
                const answer = await fetch(address, { signal: asking.signal, headers: { Accept: "application/json" } });
                if (!answer.ok || !(answer.headers.get("Content-Type") || "").startsWith("application/json")) {
                    throw new Error(answer.statusText);
                }
                show(await answer.json());
            } catch (problem) {
                if (problem.name !== "AbortError") {
                    close();
                    note.textContent = "The search failed. Change a letter to try again, or send the form: it searches too.";
                }
            }
        }

        box.addEventListener("input", () => {
            if (box.value === text) {
                return;
            }
            text = sent.value = box.value;
            window.clearTimeout(timer);
            timer = window.setTimeout(() => search(box.value), PAUSE);
        });
        box.addEventListener("focus", () => box.select());
        box.addEventListener("blur", () => { window.clearTimeout(timer); close(); });
        box.addEventListener("keydown", (event) => {
            const last = choices.length - 1;
            if (event.key === "ArrowDown" || event.key === "ArrowUp") {
                event.preventDefault();
                if (list.hidden) {
                    search(sent.value.includes(":") ? "" : box.value);
                } else {
                    mark(event.key === "ArrowDown" ? (active >= last ? 0 : active + 1) : (active <= 0 ? last : active - 1));
                }
            } else if (event.key === "Enter" && !list.hidden && active >= 0) {
                event.preventDefault();
                choose(active);
            } else if (event.key === "Escape" && !list.hidden) {
                event.preventDefault();
                close();
            }
        });
    }

    function start() {
        document.querySelectorAll("[data-picker]").forEach(enhance);
    }

    if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", start);
    } else {
        start();
    }
})();

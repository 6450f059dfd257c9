// Shows under a text what customers would read: the server fills it in, as it does for a charge.
for (const place of document.querySelectorAll("[data-preview-of]")) {
    const box = document.getElementById(place.dataset.previewOf);
    let asked = 0;
    const ask = async () => {
        const number = ++asked;
        const answer = await fetch(`${place.dataset.url}?text=${encodeURIComponent(box.value)}`);
        if (answer.ok && number === asked) {
            place.textContent = (await answer.json()).reads;
        }
    };
    let timer = 0;
    box?.addEventListener("input", () => {
        window.clearTimeout(timer);
        timer = window.setTimeout(() => { ask().catch(() => {}); }, 200);
    });
}

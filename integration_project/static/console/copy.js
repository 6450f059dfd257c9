// Copies an id when its button is pressed; one listener serves every button on the page.
document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) {
        return;
    }
    event.preventDefault();
    event.stopPropagation();
    try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = "copied";
    } catch {
        button.textContent = "not copied";
    }
    window.setTimeout(() => { button.textContent = "copy"; }, 1500);
});

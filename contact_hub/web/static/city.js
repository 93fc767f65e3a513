// The front page's own few lines: its questions go to the chat.
const chat = document.querySelector("city-chat");

document.addEventListener("click", (event) => {
  const question = event.target.closest("[data-ask]");
  if (question) chat.ask(question.dataset.ask);
});

const form = document.querySelector("form.ask");
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = form.elements.question;
  const words = field.value.trim();
  field.value = "";
  if (words) chat.ask(words);
  else chat.show();
});

const language = document.querySelector("select[name=lang]");
language.addEventListener("change", () => language.form.requestSubmit());

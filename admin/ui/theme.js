// The theme is set before the first paint: what was chosen here, or what the
// system says.
"use strict";
{
  const chosen = localStorage.getItem("holdfast-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
}

// Finds in the description of the interface: shows what has every word that was typed, and opens
// what an address names.
"use strict";

const box = document.getElementById("find");
const input = box.querySelector("input");
const said = box.querySelector("[role=status]");
const all = [...document.querySelectorAll("details.operation")];
const texts = all.map((one) => one.textContent.toLowerCase());

function find() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  all.forEach((one, index) => {
    const isFound = words.every((word) => texts[index].includes(word));
    one.hidden = !isFound;
    found += isFound ? 1 : 0;
  });
  for (const section of document.querySelectorAll("section.operations")) {
    section.hidden = !section.querySelector("details.operation:not([hidden])");
  }
  said.textContent = words.length ? `${found} of ${all.length}` : "";
}

function open() {
  const one = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (one && one.matches("details")) {
    one.hidden = false;
    one.open = true;
    one.scrollIntoView();
  }
}

box.hidden = false;
input.addEventListener("input", find);
window.addEventListener("hashchange", open);
open();

(() => {
  "use strict";
  const root = document.documentElement, find = id => document.getElementById(id);
  root.classList.add("scripted");

  const metric = find("metric");
  metric?.addEventListener("change", () => {
    for (const plots of document.querySelectorAll("[data-metric]"))
      plots.hidden = plots.dataset.metric !== metric.value;
  });

  const play = find("play"), slider = find("frame"), count = find("count"), rate = find("rate");
  if (!play) return;
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const panel = () => [...document.querySelectorAll(".panel")].find(each => each.offsetParent);
  const films = () => [...panel().querySelectorAll(".film[data-count]")];
  const runs = film => film.getAnimations()[0];
  const seconds = film => film.dataset.count / panel().dataset.fps;
  const longest = () => Math.max(1, ...films().map(film => +film.dataset.count));

  const tell = frame => {
    slider.value = frame;
    count.value = `${frame + 1} of ${longest()}`;
    slider.setAttribute("aria-valuetext", count.value);
  };
  const now = () => {
    const run = films().map(runs).find(Boolean);
    return run ? Math.floor((run.currentTime / 1000) * panel().dataset.fps + 0.01) % longest() : 0;
  };
  const showFrame = frame => {
    for (const film of films()) {
      const run = runs(film);
      run.pause();
      run.currentTime = ((Math.min(frame, film.dataset.count - 1) + 0.5) / film.dataset.count) * seconds(film) * 1000;
    }
    tell(frame);
  };
  const setPlaying = on => {
    const frame = now();
    playing = on;
    root.classList.toggle("played", on);
    play.textContent = on ? "Pause" : "Play";
    showFrame(frame);
    if (on) for (const film of films()) {
      runs(film).updatePlaybackRate(+rate.value);
      runs(film).play();
    }
  };
  const enter = () => {
    slider.max = longest() - 1;
    setPlaying(playing);
  };

  play.addEventListener("click", () => setPlaying(!playing));
  slider.addEventListener("input", () => {
    const frame = +slider.value;
    setPlaying(false);
    showFrame(frame);
  });
  rate.addEventListener("change", () => setPlaying(true));
  for (const tab of document.querySelectorAll("[name=clip]")) tab.addEventListener("change", enter);
  setInterval(() => { if (playing && !document.hidden) tell(now()); }, 100);
  enter();
})();

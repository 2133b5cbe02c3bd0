(() => {
  const turned = (view, yaw, pitch) => {
    const [c, s, k, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const [r, u, n] = view;
    const about = r.map((x, i) => c * x - s * n[i]);
    const towards = n.map((x, i) => c * x + s * r[i]);
    return [about, u.map((x, i) => k * x + t * towards[i]), towards.map((x, i) => k * x - t * u[i])];
  };
  for (const box of document.querySelectorAll("figure.movie")) {
    const film = JSON.parse(box.querySelector("script").textContent);
    const bytes = Uint8Array.from(atob(film.positions), (letter) => letter.charCodeAt(0));
    const positions = new Int16Array(bytes.buffer);
    const nAtoms = film.kind.length, last = film.times_fs.length - 1;
    const marked = new Set(film.marked);
    const order = film.kind.map((_, i) => i), depth = new Float64Array(nAtoms);
    let view = film.view, zoom = 1, frame = 0, playing = false, queued = false;

    const made = (name, more) => Object.assign(document.createElement(name), more);
    const canvas = made("canvas", {tabIndex: 0});
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${box.querySelector(".name").textContent}; arrow keys turn it`);
    const play = made("button", {type: "button", textContent: "Play"});
    const slider = made("input", {type: "range", min: 0, max: last, step: 1, value: 0});
    slider.setAttribute("aria-label", "Time (fs)");
    const time = made("output");
    const nearer = made("button", {type: "button", textContent: "+"});
    const farther = made("button", {type: "button", textContent: "−"});
    nearer.setAttribute("aria-label", "+ zoom in");
    farther.setAttribute("aria-label", "− zoom out");
    const controls = made("div", {className: "controls"});
    controls.append(play, slider, time, farther, nearer);
    box.querySelector(".pictures").after(canvas, controls);
    box.classList.add("live");

    const draw = () => {
      queued = false;
      const width = canvas.clientWidth, height = canvas.clientHeight, fine = window.devicePixelRatio || 1;
      if (!width) return;
      if (canvas.width !== Math.round(width * fine) || canvas.height !== Math.round(height * fine)) {
        [canvas.width, canvas.height] = [Math.round(width * fine), Math.round(height * fine)];
      }
      const pen = canvas.getContext("2d"), ring = getComputedStyle(box).getPropertyValue("--mark");
      pen.setTransform(fine, 0, 0, fine, 0, 0);
      pen.clearRect(0, 0, width, height);
      const scale = zoom * Math.min(width, height) / (2 * film.half_A);
      const at = (axis, i) => {
        const p = 3 * (frame * nAtoms + i);
        const [x, y, z] = view[axis];
        return film.unit_A * (x * positions[p] + y * positions[p + 1] + z * positions[p + 2]);
      };
      for (let i = 0; i < nAtoms; i++) depth[i] = at(2, i);
      order.sort((a, b) => depth[a] - depth[b]);
      for (const i of order) {
        const [, colour, radius_A] = film.kinds[film.kind[i]];
        const x = width / 2 + scale * at(0, i), y = height / 2 - scale * at(1, i), r = scale * radius_A;
        if (x < -r || y < -r || x > width + r || y > height + r) continue;
        pen.beginPath();
        pen.arc(x, y, r, 0, 2 * Math.PI);
        pen.fillStyle = colour;
        pen.fill();
        const shade = pen.createRadialGradient(x - r / 3, y - r / 3, r / 10, x, y, r);
        shade.addColorStop(0, "rgba(255,255,255,0.45)");
        shade.addColorStop(0.5, "rgba(255,255,255,0)");
        shade.addColorStop(1, "rgba(0,0,0,0.35)");
        pen.fillStyle = shade;
        pen.fill();
        pen.lineWidth = marked.has(i) ? Math.max(2, r / 6) : 0.7;
        pen.strokeStyle = marked.has(i) ? ring : "#555";
        pen.stroke();
      }
    };
    const redraw = () => { if (!queued) { queued = true; requestAnimationFrame(draw); } };

    const panels = [];
    const show = (number) => {
      frame = number;
      slider.value = frame;
      const told = `${Math.round(film.times_fs[frame])} fs`;
      time.textContent = told;
      slider.setAttribute("aria-valuetext", told);
      for (const panel of panels) panel(film.times_fs[frame]);
      redraw();
    };
    const stop = () => { playing = false; play.textContent = "Play"; };
    const step = (from) => (now) => {
      if (!playing) return;
      const due = now - from >= 66;
      if (due && frame === last) return stop();
      if (due) show(frame + 1);
      requestAnimationFrame(step(due ? now : from));
    };
    play.addEventListener("click", () => {
      if (playing) return stop();
      playing = true;
      play.textContent = "Pause";
      if (frame === last) show(0);
      requestAnimationFrame(step(performance.now()));
    });
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    const zoomed = (factor) => { zoom = Math.min(8, Math.max(0.25, zoom * factor)); redraw(); };
    nearer.addEventListener("click", () => zoomed(1.25));
    farther.addEventListener("click", () => zoomed(0.8));
    const turn = (yaw, pitch) => { view = turned(view, yaw, pitch); redraw(); };
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) turn(event.movementX / 120, event.movementY / 120);
    });
    canvas.addEventListener("keydown", (event) => {
      const by = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1]}[event.key];
      if (by) { event.preventDefault(); turn(...by); }
    });
    new ResizeObserver(redraw).observe(canvas);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

    // Panels over the movie's time, beside the movies and at the top: a line shows the movie's time, a click chooses it.
    for (const group of document.querySelectorAll(`figure[data-of="${box.dataset.of}"] g.over-time`)) {
      const svg = group.ownerSVGElement, plane = group.getBBox();
      const [from, to] = [Number(group.dataset.from), Number(group.dataset.to)];
      let line = svg.querySelector(`line.now[data-panel="${group.dataset.panel}"]`);
      if (!line) {
        line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        line.setAttribute("class", "now");
        line.dataset.panel = group.dataset.panel;
        svg.append(line);
        svg.classList.add("timed");
      }
      panels.push((time_fs) => {
        const x = plane.x + plane.width * (time_fs - from) / (to - from);
        const inside = x >= plane.x && x <= plane.x + plane.width;
        line.setAttribute("visibility", inside ? "visible" : "hidden");
        for (const [name, value] of [["x1", x], ["x2", x], ["y1", plane.y], ["y2", plane.y + plane.height]]) {
          line.setAttribute(name, value);
        }
      });
      svg.addEventListener("click", (event) => {
        const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(group.getScreenCTM().inverse());
        const time_fs = from + (to - from) * (place.x - plane.x) / plane.width;
        if (place.x < plane.x || place.x > plane.x + plane.width || place.y < plane.y || place.y > plane.y + plane.height) return;
        stop();
        const far = film.times_fs.map((t) => Math.abs(t - time_fs));
        show(far.indexOf(Math.min(...far)));
      });
    }
    show(0);
  }
})();

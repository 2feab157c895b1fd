// All that talks to WebGL2: shaders, buffers, one draw.

const NO_WEBGL =
  "This map needs WebGL2, which this browser doesn't offer. Switch on hardware acceleration in the browser's "
  + "settings, or open the page in a current Firefox, Chrome, Edge or Safari.";

class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", {
      alpha: false, antialias: false, depth: true, stencil: false, powerPreference: "high-performance",
    });
    if (!this.gl) return;
    const info = this.gl.getExtension("WEBGL_debug_renderer_info");
    const name = info ? String(this.gl.getParameter(info.UNMASKED_RENDERER_WEBGL)) : "";
    this.software = /swiftshader|llvmpipe|software|basic render/i.test(name);
    this.prepare();
  }

  // Everything on the card; again after a lost context.
  prepare() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    ["a_xy", "a_code", "a_dim"].forEach((name, i) => gl.bindAttribLocation(program, i, name));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(program) || "the shaders could not be linked");
    }
    this.program = program;
    this.places = {};
    for (const name of ["place", "size", "opacity", "codes", "missing", "dim", "round"]) {
      this.places[name] = gl.getUniformLocation(program, `u_${name}`);
    }
    this.array = gl.createVertexArray();
    this.buffers = { xy: gl.createBuffer(), codes: gl.createBuffer(), dim: gl.createBuffer() };
    this.texture = gl.createTexture();
    gl.useProgram(program);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE);
  }

  attribute(at, buffer, values, size, type, normalised) {
    const { gl } = this;
    gl.bindVertexArray(this.array);
    if (!values) {
      gl.disableVertexAttribArray(at);
      gl.vertexAttrib1f(at, 0);
      return;
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, size, type, normalised, 0, 0);
  }

  setPoints(xy) {
    this.attribute(0, this.buffers.xy, xy, 2, this.gl.UNSIGNED_SHORT, true);
  }

  setCodes(codes) {
    const { gl } = this;
    const type = codes instanceof Uint8Array ? gl.UNSIGNED_BYTE : gl.UNSIGNED_SHORT;
    this.attribute(1, this.buffers.codes, codes, 1, type, false);
  }

  setDim(dim) {
    this.attribute(2, this.buffers.dim, dim, 1, this.gl.UNSIGNED_BYTE, false);
  }

  // `colours`: 4 bytes a code; alpha 0 hides it.
  setPalette(colours) {
    const { gl } = this;
    const height = Math.max(1, Math.ceil(colours.length / 4 / 256));
    const filled = new Uint8Array(256 * height * 4);
    filled.set(colours);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, filled);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  }

  draw({ count, place, size, opacity, codes, missing, ground, dim }) {
    const { gl, places } = this;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(ground[0] / 255, ground[1] / 255, ground[2] / 255, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!count) return;
    gl.uniform4f(places.place, ...place);
    gl.uniform1f(places.size, size);
    gl.uniform1f(places.opacity, opacity);
    gl.uniform1f(places.codes, codes);
    gl.uniform1f(places.missing, missing);
    gl.uniform3f(places.dim, dim[0] / 255, dim[1] / 255, dim[2] / 255);
    gl.uniform1i(places.round, size >= 3.5 ? 1 : 0);
    gl.bindVertexArray(this.array);
    gl.drawArrays(gl.POINTS, 0, count);
  }

  // Wait until what was asked for is drawn.
  finish() {
    this.gl.readPixels(0, 0, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, new Uint8Array(4));
  }

  dispose() {
    this.gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

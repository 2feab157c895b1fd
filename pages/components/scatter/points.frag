#version 300 es
precision highp float;
flat in vec4 v_colour;
uniform float u_size;
uniform bool u_round;  // discs; squares where a point has few pixels anyway
out vec4 colour;

void main() {
  colour = v_colour;
  if (u_round) {
    float edge = (0.5 - length(gl_PointCoord - 0.5)) * u_size;
    if (edge <= 0.0) discard;
    colour.a *= min(1.0, edge);
  }
}

#version 300 es
// One vertex a cell: where it lies, its colour by code, and whether it recedes behind the selection.
precision highp float;
precision highp sampler2D;
in vec2 a_xy;      // 0..1 in the map's bounding box
in float a_code;   // row of the palette
in float a_dim;    // 1 where others are selected
uniform vec4 u_place;    // scale x, y, shift x, y: from 0..1 to the screen's -1..1
uniform float u_size;    // pixels
uniform float u_opacity;
uniform float u_codes;   // codes on a continuous scale, 0 for categories
uniform float u_missing; // the code of 'no value', -1 without
uniform vec3 u_dim;      // colour of the cells that recede
uniform sampler2D u_palette;
flat out vec4 v_colour;

void main() {
  int code = int(a_code + 0.5);
  vec4 colour = texelFetch(u_palette, ivec2(code & 255, code >> 8), 0);
  if (colour.a == 0.0) {  // its category is hidden
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    gl_PointSize = 1.0;
    return;
  }
  bool missing = abs(a_code - u_missing) < 0.5;
  // What recedes lies behind; on a scale the higher value lies in front of the lower.
  float depth = u_codes > 0.0 ? 0.6 - 1.2 * a_code / u_codes : 0.0;
  if (missing) depth = 0.7;
  v_colour = vec4(colour.rgb, colour.a * u_opacity * (missing ? 0.6 : 1.0));
  if (a_dim > 0.5) {
    depth = 0.9;
    v_colour = vec4(u_dim, u_opacity * 0.7);
  }
  gl_Position = vec4(a_xy * u_place.xy + u_place.zw, depth, 1.0);
  gl_PointSize = a_dim > 0.5 ? max(1.0, u_size * 0.8) : u_size;
}

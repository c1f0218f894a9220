// The loops of dataset_assembly.c for one type of elements: include it with FW_ELEMENT and FW_NAME(x) defined.

// out[i * spacing] = table[source[i * step]]
FW_INLINE void FW_NAME(look_up)(
    const uint8_t *source, ptrdiff_t step, const FW_ELEMENT *table, FW_ELEMENT *restrict out, size_t spacing,
    size_t count) {
  for (size_t i = 0; i < count; i++) out[i * spacing] = table[source[(ptrdiff_t)i * step]];
}

// Columns begin ..< end of a row, which lie beyond a border of the source.
FW_INLINE void FW_NAME(pad)(
    const fw_image_shape *shape, const fw_image_view *view, const uint8_t *row, const FW_ELEMENT *table,
    FW_ELEMENT *restrict out, size_t spacing, size_t begin, size_t end) {
  for (size_t x = begin; x < end; x++) {
    out[x * spacing] = view->reflected ? table[row[fw_reflect(fw_source_column(shape, view, x), shape->width)]] : 0;
  }
}

// All rows of one channel.
FW_INLINE void FW_NAME(channel)(
    const fw_image_shape *shape, const fw_image_view *view, const uint8_t *plane, const FW_ELEMENT *table,
    FW_ELEMENT *restrict out, size_t spacing) {
  const size_t height = shape->height, width = shape->width;
  if (view->row_shift == 0 && view->column_shift == 0 && !view->mirrored) {
    FW_NAME(look_up)(plane, 1, table, out, spacing, height * width);
    return;
  }
  const fw_columns inner = fw_inner_columns(shape, view);
  for (size_t y = 0; y < height; y++, out += width * spacing) {
    ptrdiff_t from = (ptrdiff_t)y + view->row_shift;
    if (from < 0 || from >= (ptrdiff_t)height) {
      if (!view->reflected) {
        for (size_t x = 0; x < width; x++) out[x * spacing] = 0;
        continue;
      }
      from = fw_reflect(from, height);
    }
    const uint8_t *row = plane + (size_t)from * width;
    FW_NAME(pad)(shape, view, row, table, out, spacing, 0, inner.begin);
    FW_NAME(pad)(shape, view, row, table, out, spacing, inner.end, width);
    FW_NAME(look_up)(
        row + fw_source_column(shape, view, inner.begin), view->mirrored ? -1 : 1, table,
        out + inner.begin * spacing, spacing, inner.end - inner.begin);
  }
}

// Zeroes the view's rectangle in a batch of planes, or of pixels of `spacing` channels.
FW_INLINE void FW_NAME(cut)(const fw_image_shape *shape, const fw_image_view *view, FW_ELEMENT *out) {
  const size_t planes = shape->channels_last ? 1 : shape->channels;
  const size_t spacing = shape->channels_last ? shape->channels : 1;
  const size_t bytes = (view->cut_right - view->cut_left) * spacing * sizeof(FW_ELEMENT);
  for (size_t plane = 0; plane < planes; plane++) {
    for (size_t y = view->cut_top; y < view->cut_bottom; y++) {
      memset(out + ((plane * shape->height + y) * shape->width + view->cut_left) * spacing, 0, bytes);
    }
  }
}

FW_INLINE void FW_NAME(image)(
    const fw_image_shape *shape, const fw_image_view *view, const uint8_t *pixels, const FW_ELEMENT *table,
    FW_ELEMENT *restrict out) {
  const size_t area = shape->height * shape->width;
  for (size_t c = 0; c < shape->channels; c++) {
    const uint8_t *plane = pixels + c * area;
    // A spacing that the compiler knows makes each loop's addresses simple.
    if (!shape->channels_last || shape->channels == 1) {
      FW_NAME(channel)(shape, view, plane, table + 256 * c, out + c * area, 1);
    } else if (shape->channels == 3) {
      FW_NAME(channel)(shape, view, plane, table + 256 * c, out + c, 3);
    } else {
      FW_NAME(channel)(shape, view, plane, table + 256 * c, out + c, shape->channels);
    }
  }
  if (view->cut_bottom > view->cut_top && view->cut_right > view->cut_left) FW_NAME(cut)(shape, view, out);
}

// row_start the first lines of a kernel over rows: the thread's row, its first element and its step
//           with GROUP the WG threads of a workgroup share a row, else each has its own

#if GROUP
  let row = wg.x + wg.y * SPREAD;
  let first = t;
  const STEP = WG;
#else
  let row = (wg.x + wg.y * SPREAD) * WG + t;
  const first = 0u;
  const STEP = 1u;
#endif
  if (row >= rows()) { return; }  // the last workgroup

/** The middle one; of an even number of values the upper. */
export function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
}

/** The value that a part (0 to 1) of the others are not above. */
export function quantile (values: number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * part)] ?? NaN
}

// The quantile of a histogram's buckets, as the server and PromQL interpolate it.

/**
 * Return a quantile, or null if there are no observations.
 *
 * @param {number} quantile From 0 to 1.
 * @param {Map<string, number>} counts By `le`, the upper bound: how many are at most so large.
 */
export function quantileOf(quantile, counts) {
  const buckets = [...counts]
    .map(([le, count]) => ({ bound: le === "+Inf" ? Infinity : Number(le), count }))
    .sort((one, other) => one.bound - other.bound);
  // Several workers may have reported at different moments.
  for (let at = 1; at < buckets.length; at += 1) {
    buckets[at].count = Math.max(buckets[at].count, buckets[at - 1].count);
  }
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0 || buckets.at(-1).bound !== Infinity || buckets.length < 2) return null;
  const rank = quantile * total;
  const place = buckets.findIndex(({ count }) => count >= rank);
  if (place === buckets.length - 1) return buckets.at(-2).bound;
  const { bound, count } = buckets[place];
  if (place === 0 && bound <= 0) return bound;
  const lower = place === 0 ? { bound: 0, count: 0 } : buckets[place - 1];
  if (count === lower.count) return bound;
  return lower.bound + ((bound - lower.bound) * (rank - lower.count)) / (count - lower.count);
}

/** Readings of the same thing that would overlap, and might end in another order than they began. Knows no DOM. */

/**
 * Runs `work` once at a time; however often it is asked for meanwhile, it runs once more after that.
 * @param {() => Promise<void>} work
 * @returns {() => Promise<void>} resolves when a run that began after the asking has ended
 */
export function oneAtATime(work) {
  /** @type {Promise<void>|null} */ let running = null;
  /** @type {Promise<void>|null} */ let next = null;
  const begin = () => {
    next = null;
    running = work().finally(() => (running = null));
    return running;
  };
  return () => {
    if (!running) return begin();
    next ??= running.then(begin, begin);
    return next;
  };
}

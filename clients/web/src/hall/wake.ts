/** Keeps the screen on while the page is shown. Returns how to stop. */
export function stayAwake(): () => void {
  let lock: WakeLockSentinel | undefined
  const ask = (): void => {
    if (document.hidden) return
    navigator.wakeLock?.request('screen').then(
      (granted) => (lock = granted),
      () => undefined,
    )
  }
  ask()
  document.addEventListener('visibilitychange', ask)
  return () => {
    document.removeEventListener('visibilitychange', ask)
    void lock?.release()
  }
}

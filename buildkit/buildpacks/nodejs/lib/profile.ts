/**
 * `.profile.d/nodejs.sh`: sourced by bash before the app's command (spec 3.1, 4.4). WEB_CONCURRENCY is the dyno's memory
 * divided by WEB_MEMORY (512 MB; by 2048 MB above 16 GB), at least 1 and at most 200; what the user set stays.
 */
export const PROFILE = `export PATH="$HOME/.heroku/node/bin:$HOME/bin:$HOME/node_modules/.bin:$PATH"
export NODE_HOME="$HOME/.heroku/node"
export NODE_ENV="\${NODE_ENV:-production}"

stator_memory_mb() {
  local file bytes
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [ -r "$file" ] || continue
    read -r bytes < "$file"
    case "$bytes" in
      "" | *[!0-9]*) continue ;;
    esac
    if [ "\${#bytes}" -lt 15 ]; then
      echo "$((bytes / 1048576))"
      return
    fi
  done
  echo 512
}

export MEMORY_AVAILABLE="\${MEMORY_AVAILABLE:-$(stator_memory_mb)}"
if [ "$MEMORY_AVAILABLE" -gt 16384 ]; then
  export WEB_MEMORY="\${WEB_MEMORY:-2048}"
else
  export WEB_MEMORY="\${WEB_MEMORY:-512}"
fi
if [ -z "\${WEB_CONCURRENCY:-}" ]; then
  WEB_CONCURRENCY=$((MEMORY_AVAILABLE / WEB_MEMORY))
  [ "$WEB_CONCURRENCY" -ge 1 ] || WEB_CONCURRENCY=1
  [ "$WEB_CONCURRENCY" -le 200 ] || WEB_CONCURRENCY=200
  export WEB_CONCURRENCY
  export WEB_CONCURRENCY_SET_BY="stator/nodejs"
fi
unset -f stator_memory_mb
`;

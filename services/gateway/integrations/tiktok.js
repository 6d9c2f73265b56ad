/**
 * The TikTok account of one user of your application: whether it is connected, its figures, and what can be done.
 * It knows no framework and draws nothing; docs/creators.md shows it in a page and in React.
 */

const ROUTES = "/api/v1/integrations/tiktok";
const PATIENCE = 30_000; // milliseconds for a short call
const SYNC_PATIENCE = 600_000; // milliseconds for a sync, which answers when it has ended
const PENDING = "tokhub.tiktok.state";
const CONSENT_PARAMETERS = ["code", "state", "scopes", "error", "error_description"];

const NOTHING_KNOWN = Object.freeze({
  isConnected: false,
  connectionStatus: null,
  metrics: null,
  loading: false,
  error: null,
  errorCode: null,
});

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * Returns what keeps the state of a user's account. Its functions never reject: they resolve to the state that they led
 * to, and what went wrong is in its `error`, for people, and `errorCode`, for programs.
 *
 * @param {object} options
 * @param {string} options.userId The user, as in the `sub` of the token.
 * @param {() => string | Promise<string>} [options.getToken] Gives the user's JWT, and is asked before every call.
 *   Without it calls go with the cookies of this origin.
 * @param {string} [options.gateway] Origin of the gateway; by default where this module was loaded from.
 * @param {string} [options.redirectUri] Where TikTok sends the user back to; by default the gateway's own setting.
 * @param {(authUrl: string) => void} [options.open] Opens TikTok's page; by default in the place of this one.
 */
export function createTikTokIntegration({
  userId,
  getToken,
  gateway = new URL(import.meta.url).origin,
  redirectUri,
  open = (authUrl) => window.location.assign(authUrl),
}) {
  const listeners = new Set();
  let state = NOTHING_KNOWN;
  let pending = 0;
  let latest = 0;

  function change(values) {
    state = Object.freeze({ ...state, ...values });
    for (const listener of [...listeners]) listener(state);
  }

  async function call(method, path, query = {}, patience = PATIENCE) {
    const address = new URL(`${ROUTES}/${path}`, gateway);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    const headers = getToken ? { Authorization: `Bearer ${await tokenOf(getToken)}` } : {};
    const signal = AbortSignal.timeout(patience);
    return bodyOf(await answerTo(address, { method, headers, signal, cache: "no-store" }));
  }

  // What was begun last decides: an older answer that comes later says nothing about now.
  async function during(work) {
    const mine = ++latest;
    pending += 1;
    change({ loading: true, error: null, errorCode: null });
    let outcome;
    try {
      outcome = await work();
    } catch (problem) {
      outcome = { error: problem.message, errorCode: problem.code ?? "UNKNOWN" };
    }
    pending -= 1;
    change({ ...(mine === latest ? outcome : {}), loading: pending > 0 });
    return state;
  }

  async function look(status) {
    const connectionStatus = status ?? (await call("GET", `status/${encodeURIComponent(userId)}`));
    const { isConnected } = connectionStatus;
    const metrics = isConnected ? await call("GET", `metrics/${encodeURIComponent(userId)}`) : null;
    return { isConnected, connectionStatus, metrics };
  }

  return Object.freeze({
    /** Returns the state: the same object until something has changed. */
    getState: () => state,

    /** Calls the listener with every new state; returns the function that ends this. */
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    /** Asks whether the account is connected, and for its figures when it is. */
    checkConnectionStatus: () => during(() => look()),

    /** Sends the user to TikTok's page; the page that they come back to calls completeConnection. */
    connectTikTok: () =>
      during(async () => {
        const query = { user_id: userId, ...(redirectUri ? { redirect_uri: redirectUri } : {}) };
        const { authUrl, state: link } = await call("POST", "auth/init", query);
        remember(link);
        open(authUrl);
        return {};
      }),

    /** Completes a connection that connectTikTok began in this tab, when the user has come back; else does nothing. */
    completeConnection() {
      const back = takenFromAddress();
      if (!back) return Promise.resolve(state);
      return during(async () => {
        if (!back.code) throw new Refusal("AUTHORIZATION_DENIED", "TikTok sent no consent: connect again");
        const query = { code: back.code, state: back.state, user_id: userId };
        return look(await call("POST", "auth/callback", query));
      });
    },

    /** Has the account synced now, and waits until that has ended. */
    refreshConnection: () =>
      during(async () => {
        const { data } = await call("POST", `sync/${encodeURIComponent(userId)}`, {}, SYNC_PATIENCE);
        const known = await look();
        return data.success ? known : { ...known, error: data.message, errorCode: "SYNC_FAILED" };
      }),

    /** Disconnects the account, here and at TikTok. */
    disconnectTikTok: () =>
      during(async () => {
        await call("DELETE", `disconnect/${encodeURIComponent(userId)}`);
        return look();
      }),
  });
}

async function tokenOf(getToken) {
  try {
    return await getToken();
  } catch {
    throw new Refusal("UNAUTHORIZED", "Your application gave no token: sign in again");
  }
}

async function answerTo(address, request) {
  try {
    return await fetch(address, request);
  } catch (problem) {
    if (problem.name === "TimeoutError") throw new Refusal("TIMEOUT", "There was no answer in time: try again");
    throw new Refusal("UNREACHABLE", "The service cannot be reached: try again");
  }
}

async function bodyOf(answer) {
  const body = await answer.json().catch(() => null);
  if (answer.ok && body) return body;
  throw new Refusal(body?.error?.code ?? "UNKNOWN", body?.error?.message ?? `The service answered ${answer.status}`);
}

function remember(link) {
  sessionStorage.setItem(PENDING, link);
}

/** Returns what TikTok has appended to the address, once, and takes it out: a reload shall not spend it again. */
function takenFromAddress() {
  const address = new URL(window.location.href);
  const found = address.searchParams;
  // Another login of the page may use the same names: only the state of our own link is ours.
  if (!found.has("state") || found.get("state") !== sessionStorage.getItem(PENDING)) return null;
  const back = { code: found.get("code"), state: found.get("state") };
  sessionStorage.removeItem(PENDING);
  for (const name of CONSENT_PARAMETERS) found.delete(name);
  window.history.replaceState(window.history.state, "", address);
  return back;
}

// The user's key: for this tab, or for this browser if it shall be remembered. Never in an address.

const NAME = "whisperlive-key";

export class KeyStore {
  /**
   * @param {Storage} session ends with the tab
   * @param {Storage} local stays
   */
  constructor(session, local) {
    this.#session = session;
    this.#local = local;
  }

  #session;
  #local;

  /** The key; empty for none. */
  get key() {
    return this.#session.getItem(NAME) ?? this.#local.getItem(NAME) ?? "";
  }

  get isRemembered() {
    return this.#local.getItem(NAME) !== null;
  }

  /**
   * @param {string} key
   * @param {boolean} isRemembered
   */
  keep(key, isRemembered) {
    this.forget();
    if (key) (isRemembered ? this.#local : this.#session).setItem(NAME, key);
  }

  forget() {
    this.#session.removeItem(NAME);
    this.#local.removeItem(NAME);
  }
}

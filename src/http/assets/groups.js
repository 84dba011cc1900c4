// The list of the groups: what is loaded of it, in which order, and how it is brought up to date in place.

import * as api from "./api.js";
import { confirm } from "./confirm.js";
import { arrange, byId, element, say, setText } from "./dom.js";
import { count, counted, selector } from "./format.js";
import { GroupRow } from "./group.js";
import { tellTimes } from "./row.js";
import * as title from "./title.js";

/** The most rows that one refresh asks for; of a longer list those around the place that is seen. */
const REFRESHED = 500;

/** How many of the groups that are to be deleted the dialog lists. */
const LISTED = 100;

/** No screen shows more rows than this. */
const SEEN = 100;

export class Groups {
  /** Whether the last answer was that a login is needed. */
  needsLogin = false;
  #state;
  #changed;
  #rows = new Map();
  /** Ids of the loaded rows, in order. */
  #order = [];
  #counts = null;
  #turn = 0;
  #shows = 0;
  #loading = null;
  #purpose = "";
  /** Sees when the reader comes near the end of what is loaded. */
  #end;
  #list = byId("groups");
  #more = byId("more");
  #message = byId("state");
  #problem = byId("problem");
  #wipe = byId("wipe");
  #deleteShown = byId("delete-shown");

  /** `changed(isStep)` tells that what is open has changed. */
  constructor(changed) {
    this.#changed = changed;
    this.#more.addEventListener("click", () => this.more());
    this.#wipe?.addEventListener("click", () => this.#askWipe());
    this.#deleteShown?.addEventListener("click", () => this.#askDeleteShown());
    const near = (entries) => {
      // Below a group that was opened by its address lies what is before it: that is loaded on request only.
      const isAtEnd = ![...this.#rows.values()].some((row) => row.isApart);
      if (isAtEnd && entries.some((entry) => entry.isIntersecting)) this.more();
    };
    this.#end = new IntersectionObserver(near, { rootMargin: "400px" });
    this.#end.observe(this.#more);
  }

  /** What is open: by id of a group the names of its open families. */
  get open() {
    const open = this.#order.map((id) => this.#rows.get(id)).filter((row) => row.isOpen && !row.isGone);
    return new Map(open.map((row) => [row.id, new Set(row.openFamilies)]));
  }

  /** Shows the list for another filter or order; what is open in `state` is opened wherever it is. */
  async show(state, keeps) {
    this.#state = state;
    const shows = ++this.#shows;
    this.#list.setAttribute("aria-busy", "true");
    const isDone = await this.#load("show", 0, api.GROUPS, keeps ? state.open : null);
    // While open groups were brought up to date, the reader may have asked for another list.
    if (shows !== this.#shows) return null;
    if (isDone !== null) this.#list.setAttribute("aria-busy", "false");
    return isDone;
  }

  /** Opens what is open in `state` and closes the rest; false where a group is not among the loaded ones. */
  setOpen(state) {
    if (!this.#counts || [...state.open.keys()].some((id) => !this.#rows.has(id))) return false;
    this.#state = state;
    for (const row of this.#rows.values()) {
      const families = state.open.get(row.id);
      if (families) this.#openRow(row, families);
      else if (row.isOpen) row.close();
    }
    return true;
  }

  /** Brings what is shown up to date; false when that failed. */
  async refresh() {
    if (!this.#state || this.#loading) return true;
    if (!this.#counts) return (await this.show(this.#state, true)) !== false;
    const loaded = Math.max(this.#order.length, api.GROUPS);
    const first = loaded <= REFRESHED ? 0 : Math.max(0, this.#firstSeen() - REFRESHED / 2);
    const isDone = await this.#load("refresh", first, Math.min(REFRESHED, loaded));
    if (isDone) for (const row of this.#rows.values()) row.tick();
    return isDone !== false;
  }

  /** Loads the next page. */
  async more() {
    // A refresh can wait; the reader can't.
    if (this.#more.hidden || (this.#loading && this.#purpose !== "refresh")) return;
    const loaded = this.#order.filter((id) => !this.#rows.get(id).isApart).length;
    if (!(await this.#load("more", loaded, api.GROUPS))) return;
    // It looks again, as on a tall screen one page may not be enough.
    this.#end.unobserve(this.#more);
    this.#end.observe(this.#more);
  }

  /** Loads these rows: true when they are there, false when that failed, null when something else came first. */
  async #load(purpose, offset, limit, open = null) {
    const isNew = purpose === "show";
    const turn = ++this.#turn;
    this.#loading?.abort();
    const loading = new AbortController();
    this.#loading = loading;
    this.#purpose = purpose;
    try {
      const answer = await api.groups(this.#state, offset, limit, loading.signal);
      const apart = await this.#apart(answer, open, loading.signal);
      if (turn !== this.#turn) return null;
      this.#loading = null;
      await this.#place(answer, offset, limit, apart, isNew, open);
      this.#fail(null);
      return true;
    } catch (error) {
      if (turn !== this.#turn || error.name === "AbortError") return null;
      this.#loading = null;
      if (!(error instanceof api.Problem)) throw error;
      this.#fail(error, purpose === "more");
      return false;
    }
  }

  /** The groups that are to be open and are not in the answer. */
  async #apart(answer, open, signal) {
    const inAnswer = new Set(answer.groups.map((group) => group.id));
    const missing = open ? [...open.keys()].filter((id) => !inAnswer.has(id)) : [];
    const found = await Promise.all(
      missing.map((id) =>
        api.group(id, signal).catch((error) => {
          if (!error.isGone) throw error;
          say("A group of this address is gone.");
          return null;
        }),
      ),
    );
    const gone = found.filter((group) => group === null).length;
    if (open) {
      const are = gone === 1 ? "is" : "are";
      const text = `${counted(gone, "group")} of this address ${are} gone: deleted, or lost in a restart.`;
      byId("gone").textContent = text;
      byId("gone").hidden = gone === 0;
    }
    return found.filter((group) => group !== null);
  }

  async #place(answer, offset, limit, apart, isNew, open) {
    const anchor = isNew ? null : this.#anchor();
    this.#counts = answer;
    const refreshed = [];
    const rowOf = (group, isApart) => {
      let row = this.#rows.get(group.id);
      if (!row) {
        row = new GroupRow(group, { changed: () => this.#changed(), remove: (wanted) => this.#askDelete(wanted) });
        this.#rows.set(group.id, row);
      } else if (row.update(group) && row.isOpen) {
        refreshed.push(row);
      } else if (row.isGone) {
        refreshed.push(row);
      }
      row.isApart = isApart;
      return group.id;
    };
    const page = answer.groups.map((group) => rowOf(group, false));
    const inPage = new Set(page);
    const old = isNew ? [] : this.#order.filter((id) => !this.#rows.get(id).isApart);
    const before = old.slice(0, offset).filter((id) => !inPage.has(id));
    // A short page is the last one.
    const after = page.length < limit ? [] : old.slice(offset + limit).filter((id) => !inPage.has(id));
    const loaded = [...before, ...page, ...after];
    const isLoaded = new Set(loaded);
    const lost = isNew ? [] : this.#order.filter((id) => !isLoaded.has(id) && this.#rows.get(id).isOpen);
    const added = apart.map((group) => rowOf(group, true)).filter((id) => !isLoaded.has(id));
    for (const id of lost) {
      const row = this.#rows.get(id);
      row.isApart = true;
      // It is further down the list now, or gone: it says so itself.
      if (!row.isGone) refreshed.push(row);
    }
    this.#settle([...loaded, ...new Set([...lost, ...added])]);
    this.#restore(anchor);
    this.#summary();
    const opened = open ? [...open].filter(([id]) => this.#rows.has(id)) : [];
    if (open) for (const row of this.#rows.values()) if (!open.has(row.id) && row.isOpen) row.close();
    await Promise.all([
      ...refreshed.filter((row) => row.isOpen).map((row) => row.refresh()),
      ...opened.map(([id, families]) => this.#openRow(this.#rows.get(id), families)),
    ]);
    if (refreshed.length > 0) this.#restore(anchor);
  }

  #openRow(row, families) {
    row.setFamilies(families);
    return row.isOpen ? null : row.open(families);
  }

  /** Makes these the rows of the list. */
  #settle(order) {
    const wanted = new Set(order);
    const focused = this.#list.contains(document.activeElement) ? document.activeElement.closest(".group") : null;
    if (focused && !wanted.has(focused.dataset.id)) this.#focusAfter(focused.dataset.id, wanted);
    for (const id of this.#rows.keys()) if (!wanted.has(id)) this.#rows.delete(id);
    this.#order = order;
    arrange(this.#list, order.map((id) => this.#rows.get(id).element));
    for (const id of order) {
      const row = this.#rows.get(id);
      row.element.classList.toggle("apart", Boolean(row.isApart));
    }
  }

  /** Gives the focus to what follows a row that goes away. */
  #focusAfter(id, wanted, order = this.#order) {
    const at = order.indexOf(id);
    const next = order.slice(at + 1).find((other) => wanted.has(other));
    const previous = order.slice(0, at).reverse().find((other) => wanted.has(other));
    const row = this.#rows.get(next || previous);
    if (row) row.button.focus({ preventScroll: true });
    else byId("filter").focus({ preventScroll: true });
  }

  /** The row that must not move on the screen, and where it is. */
  #anchor() {
    const focused = document.activeElement?.closest?.(".group");
    const isSeen = (box) => box.bottom > 0 && box.top < innerHeight;
    if (focused && isSeen(focused.getBoundingClientRect())) {
      return { element: focused, top: focused.getBoundingClientRect().top };
    }
    // At the very top the list is read from its beginning: what is new is to be seen there.
    if (scrollY < 8) return null;
    const at = this.#firstSeen();
    const seen = this.#order.slice(at, at + SEEN).map((id) => this.#rows.get(id));
    const row = seen.find((one) => one.isOpen && isSeen(one.element.getBoundingClientRect())) || seen[0];
    return row ? { element: row.element, top: row.element.getBoundingClientRect().top } : null;
  }

  #firstSeen() {
    let [low, high] = [0, this.#order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { bottom } = this.#rows.get(this.#order[middle]).element.getBoundingClientRect();
      if (bottom <= 64) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #restore(anchor) {
    if (!anchor?.element.isConnected) return;
    const moved = anchor.element.getBoundingClientRect().top - anchor.top;
    if (Math.abs(moved) >= 1) scrollBy({ top: moved, behavior: "instant" });
  }

  #summary() {
    const { total, matching, total_series: allSeries, series } = this.#counts;
    const isFiltered = Boolean(this.#state.q.trim());
    const text = isFiltered
      ? `${count(matching)} of ${counted(total, "group")}, ${count(series)} of ${count(allSeries)} series`
      : `${counted(total, "group")}, ${count(allSeries)} series`;
    setText(byId("totals"), text);
    const loaded = this.#order.filter((id) => !this.#rows.get(id).isApart).length;
    this.#more.hidden = loaded >= matching;
    setText(this.#more, `Show more groups (${count(loaded)} of ${count(matching)})`);
    this.#message.hidden = this.#order.length > 0;
    byId("list").hidden = this.#order.length === 0;
    title.tell({ filter: this.#state.q, matching });
    if (this.#order.length === 0) this.#nothing(total, isFiltered);
    if (this.#wipe) {
      this.#wipe.disabled = total === 0;
      setText(this.#wipe, `Delete All ${counted(total, "Group")}`);
    }
    if (this.#deleteShown) this.#offerDeletion(matching, isFiltered);
  }

  /** While there is a filter, what it shows can be deleted. To delete everything is in the status view. */
  #offerDeletion(matching, isFiltered) {
    const button = this.#deleteShown;
    button.hidden = !isFiltered;
    button.disabled = matching === 0 || matching > api.MOST_DELETED;
    const most = `At most ${count(api.MOST_DELETED)} groups are deleted at once: narrow the filter`;
    button.title = matching > api.MOST_DELETED ? most : "";
    setText(button, matching === 1 ? "Delete this group" : `Delete these ${counted(matching, "group")}`);
  }

  #nothing(total, isFiltered) {
    if (isFiltered && total > 0) {
      setText(this.#message, `None of ${counted(total, "group")} matches this filter.`);
      return;
    }
    const example = `echo "my_metric 1" | curl --data-binary @- ${api.urlOf("metrics/job/my_job")}`;
    if (this.#message.querySelector("code")) return;
    this.#message.replaceChildren("Nothing has been pushed yet. For example:", element("code", {}, example));
  }

  #fail(error, isMore) {
    // What it says takes room above the list.
    const anchor = this.#anchor();
    this.#problem.hidden = error === null;
    this.needsLogin = Boolean(error?.needsLogin);
    if (error !== null) this.#explain(error, isMore);
    this.#restore(anchor);
  }

  #explain(error, isMore) {
    const isListed = this.#order.length > 0;
    const text = isListed ? `${error.message} What you see may be out of date. ` : `${error.message} `;
    const again = () => (isMore ? this.more() : this.refresh());
    // A reload asks for the login, and comes back to the same place.
    const way = error.needsLogin ? ["Reload", () => location.reload()] : ["Try again", again];
    const retry = element("button", { type: "button", onclick: way[1] }, way[0]);
    // Read out once, not with each attempt.
    if (this.#problem.firstChild?.textContent !== text) this.#problem.replaceChildren(text, retry);
    if (isListed) return;
    this.#message.hidden = false;
    setText(this.#message, "The groups could not be loaded.");
  }

  #askDelete(row) {
    confirm(row.question, row.countText, "Delete", async (close) => {
      const [order, counts] = [this.#order, this.#counts];
      await api.deleteGroup(row.group.path);
      close();
      this.#drop(row, order, counts);
      say(`Deleted. ${counted(this.#counts.total, "group")}`);
      this.refresh();
    });
  }

  /**
   * Takes a group that was deleted out of the list. The rest stays where it is. `before` and `counts` are the order and
   * the counts when the deletion began.
   */
  #drop(row, before, counts) {
    const order = this.#order.filter((id) => id !== row.id);
    this.#focusAfter(row.id, new Set(order), before);
    this.#settle(order);
    this.#uncount({ groups: 1, series: row.group.series }, counts);
    this.#summary();
    if (row.isOpen) this.#changed();
  }

  #askWipe() {
    const { total, total_series: series } = this.#counts;
    const note = `${counted(total, "group")}, ${count(series)} series`;
    confirm("Do you really want to delete all metrics from all metric groups?", note, "Delete all", async (close) => {
      await api.wipe();
      close();
      this.#counts = { ...this.#counts, total: 0, matching: 0, total_series: 0, series: 0 };
      this.#settle([]);
      this.#summary();
      this.#changed();
      byId("to-groups").focus();
      say("All groups were deleted.");
      this.refresh();
    });
  }

  async #askDeleteShown() {
    const { q } = this.#state;
    this.#deleteShown.disabled = true;
    let groups;
    try {
      groups = await api.allGroups(q);
    } catch (error) {
      if (!(error instanceof api.Problem)) throw error;
      this.#fail(error);
      return;
    } finally {
      this.#deleteShown.disabled = false;
    }
    // The filter may have changed meanwhile.
    if (this.#state.q !== q || groups.length === 0 || groups.length > api.MOST_DELETED) {
      this.refresh();
      return;
    }
    const series = groups.reduce((sum, group) => sum + group.series, 0);
    const question = `Do you really want to delete all metrics of ${counted(groups.length, "group")}?`;
    const note = `The filter ${q.trim()} shows them. They have ${count(series)} series.`;
    const items = groups.slice(0, LISTED).map(({ labels }) => selector(labels));
    if (groups.length > LISTED) items.push(`and ${counted(groups.length - LISTED, "more group")}`);
    const act = async (close) => {
      const counts = this.#counts;
      const deleted = await api.deleteGroups(groups.map((group) => group.id));
      close();
      this.#dropAll(new Set(groups.map((group) => group.id)), deleted, counts);
      say(`Deleted: ${counted(deleted.groups, "group")}.`);
      this.refresh();
    };
    confirm(question, note, "Delete", act, items);
  }

  /** Takes groups that were deleted out of the list. */
  #dropAll(ids, deleted, counts) {
    this.#settle(this.#order.filter((id) => !ids.has(id)));
    this.#uncount(deleted, counts);
    this.#summary();
    this.#changed();
    byId("filter").focus();
  }

  /** Takes what was deleted off the counts, unless a refresh has brought others since there were these. */
  #uncount({ groups, series }, counts) {
    if (this.#counts !== counts) return;
    const left = (all, gone) => Math.max(0, all - gone);
    this.#counts = {
      ...counts,
      total: left(counts.total, groups),
      matching: left(counts.matching, groups),
      total_series: left(counts.total_series, series),
      series: left(counts.series, series),
    };
  }

  /** The group that an element is in. */
  rowOf(node) {
    return this.#rows.get(node?.closest?.(".group")?.dataset.id);
  }

  /** Asks whether to delete this group. */
  askDelete(row) {
    if (!api.mayDelete) say("You do not have the permission to delete groups.");
    else if (row && !row.isGone) this.#askDelete(row);
  }

  /** Scrolls to the first open group. */
  reveal() {
    const row = this.#order.map((id) => this.#rows.get(id)).find((one) => one.isOpen);
    row?.element.firstElementChild.scrollIntoView({ block: "start", behavior: "instant" });
  }

  /** Brings every "12 s ago" up to date. */
  tellTimes() {
    tellTimes(this.#list);
  }
}

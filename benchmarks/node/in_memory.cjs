// Print the microseconds of a dispatch to a store of Redux or Redux Toolkit with one reducer and one subscriber.
// node in_memory.cjs FOLDER redux|toolkit TEXT: the folder is where the packages are installed.

const { createRequire } = require("node:module");

const [folder, kind, text] = process.argv.slice(2);
const installed = createRequire(`${folder}/package.json`);
const initial = { count: 0, last: "", topic: null, sentiment: 0, goals: [], ended: false };

function redux() {
  const reduce = (state = initial, action) =>
    action.type === "said" ? { ...state, count: state.count + 1, last: action.payload.text } : state;
  return [installed("redux").legacy_createStore(reduce), (payload) => ({ type: "said", payload })];
}

function toolkit() {
  const { configureStore, createSlice } = installed("@reduxjs/toolkit");
  const slice = createSlice({
    name: "talk",
    initialState: initial,
    reducers: {
      said(state, action) {
        state.count += 1;
        state.last = action.payload.text;
      },
    },
  });
  return [configureStore({ reducer: slice.reducer }), slice.actions.said];
}

function measure(store, said, events) {
  const started = process.cpuUsage();
  for (let number = 0; number < events; number += 1) {
    store.dispatch(said({ id: "m", user: "ada", text }));
  }
  const { user, system } = process.cpuUsage(started);
  return (user + system) / events;
}

const [store, said] = kind === "redux" ? redux() : toolkit();
store.subscribe(() => {});
measure(store, said, 20000); // what it compiles while it runs is no part of the figure
console.log(JSON.stringify(measure(store, said, 20000)));

// Node 20 lacks what js-libp2p uses of ECMAScript 2024.
Promise.withResolvers ??= function () {
  const made = {}
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}

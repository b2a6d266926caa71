/** Base of a class whose constructor adds its private fields to an object that exists, instead of making one. */
export const Existing: new (instance: object) => object = function (instance: object) {
  return instance
} as unknown as new (instance: object) => object

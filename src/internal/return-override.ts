/**
 * Base class whose constructor returns its argument (return override): a derived class adds its private fields to an
 * object that exists already.
 */
export const ReturnOverride: new (instance: object) => object = function (instance: object) {
  return instance
} as unknown as new (instance: object) => object

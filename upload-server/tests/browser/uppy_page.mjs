// What the page of another origin uses, bundled for a browser.
export { Uppy } from "@uppy/core";
export { default as Tus } from "@uppy/tus";
export { default as XHRUpload } from "@uppy/xhr-upload";

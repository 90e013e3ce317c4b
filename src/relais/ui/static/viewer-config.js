// OHIF on this node: it lives under /viewer/ and speaks DICOMweb to the host that it came from, and to nobody else.

console.time("scriptToView"); // OHIF ends it
window.PUBLIC_URL = "/viewer/";
window.browserImportFunction = (path) => import(path);

const root = `${window.location.origin}/dicom-web`;
const here = (url) => url.replace(/^https?:\/\/[^/]+(?=\/dicom-web\/)/, window.location.origin);

window.config = {
  name: "relais",
  routerBasename: "/viewer",
  extensions: [],
  modes: [],
  customizationService: { "ohif.tours": { $set: [] } },
  showStudyList: true,
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  maxNumRequests: { interaction: 20, thumbnail: 6, prefetch: 12 },
  showErrorDetails: "production",
  investigationalUseDialog: { option: "configure", days: 90 },
  defaultDataSourceName: "relais",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "relais",
      configuration: {
        friendlyName: "Relais",
        name: "relais",
        wadoUriRoot: `${window.location.origin}/wado`,
        qidoRoot: root,
        wadoRoot: root,
        qidoSupportsIncludeField: true,
        imageRendering: "wadors",
        thumbnailRendering: "thumbnail",
        thumbnailRequestStrategy: "fetch",
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        dicomUploadEnabled: true,
        singlepart: "pdf,video",
        bulkDataURI: { enabled: true, relativeResolution: "instances", transform: here },
        omitQuotationForMultipartRequest: true,
      },
    },
  ],
  whiteLabeling: {
    createLogoComponentFn: (React) =>
      React.createElement("a", { href: "/", title: "To the study list of the node", style: { display: "flex", alignItems: "center", gap: "8px", color: "#fff", fontWeight: 600 } },
        React.createElement("img", { src: "/static/relais.svg", width: 26, height: 26, alt: "" }), "Relais"),
  },
};

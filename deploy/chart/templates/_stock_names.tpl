{{/*
The named templates of the chart prometheus-pushgateway. Values that are templates (extraManifests, hostnames and
rules of routes, metricRelabelings) may call them.
*/}}
{{- define "prometheus-pushgateway.name" }}{{ include "tallygate.name" . }}{{ end -}}
{{- define "prometheus-pushgateway.fullname" }}{{ include "tallygate.fullname" . }}{{ end -}}
{{- define "prometheus-pushgateway.namespace" }}{{ include "tallygate.namespace" . }}{{ end -}}
{{- define "prometheus-pushgateway.chart" }}{{ include "tallygate.chart" . }}{{ end -}}
{{- define "prometheus-pushgateway.serviceAccountName" }}{{ include "tallygate.serviceAccountName" . }}{{ end -}}
{{- define "prometheus-pushgateway.defaultLabels" }}{{ include "tallygate.labels" . }}{{ end -}}
{{- define "prometheus-pushgateway.selectorLabels" }}{{ include "tallygate.selectorLabels" . }}{{ end -}}
{{- define "prometheus-pushgateway.image" }}{{ include "tallygate.image" . }}{{ end -}}
{{- define "prometheus-pushgateway.podSpec" }}{{ include "tallygate.podSpec" . }}{{ end -}}
{{- define "prometheus-pushgateway.webConfiguration" }}{{ include "tallygate.webConfiguration" . }}{{ end -}}
{{- define "prometheus-pushgateway.webConfigurationExistingSecretName" -}}
{{ include "tallygate.existingWebSecret" . }}
{{- end -}}
{{- define "prometheus-pushgateway.webConfigurationSecretName" }}{{ include "tallygate.webSecret" . }}{{ end -}}
{{- define "prometheus-pushgateway.Authorization" }}{{ include "tallygate.login" . }}{{ end -}}
{{- define "prometheus-pushgateway.basicAuth" }}{{ include "tallygate.monitorLogin" . }}{{ end -}}

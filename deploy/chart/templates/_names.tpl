{{/* Names and labels of all objects. They are made as those of the chart prometheus-pushgateway are. */}}

{{- define "tallygate.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The full name that the objects have if NAME is the name: (list ROOT NAME). */}}
{{- define "tallygate.fullnameFor" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $full := ternary $root.Release.Name (printf "%s-%s" $root.Release.Name $name) (contains $name $root.Release.Name) -}}
{{- $root.Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tallygate.fullname" -}}
{{- include "tallygate.fullnameFor" (list . (.Values.nameOverride | default .Chart.Name)) -}}
{{- end -}}

{{- define "tallygate.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{- define "tallygate.serviceAccountName" -}}
{{- $default := ternary (include "tallygate.fullname" .) "default" (.Values.serviceAccount.create | default false) -}}
{{- .Values.serviceAccount.name | default $default -}}
{{- end -}}

{{- define "tallygate.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tallygate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tallygate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* With podLabels, which the values put on every object. What selects the pods stays as it is. */}}
{{- define "tallygate.labels" -}}
{{- $own := dict
    "helm.sh/chart" (include "tallygate.chart" .)
    "app.kubernetes.io/version" .Chart.AppVersion
    "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $selecting := include "tallygate.selectorLabels" . | fromYaml -}}
{{- mergeOverwrite $own (.Values.podLabels | default dict) $selecting | toYaml -}}
{{- end -}}

{{/* The metadata of an object but its labels and annotations: (list ROOT NAME). */}}
{{- define "tallygate.identity" -}}
name: {{ index . 1 }}
namespace: {{ include "tallygate.namespace" (index . 0) }}
{{- end -}}

{{/* A map or a list under a key, and nothing if it is empty: (list KEY VALUE INDENTATION). */}}
{{- define "tallygate.optional" -}}
{{- with index . 1 }}
{{- printf "%s:\n%s" (index $ 0) (toYaml . | indent 2) | nindent (index $ 2) }}
{{- end }}
{{- end -}}

{{- define "tallygate.image" -}}
{{- $registry := (.Values.global).imageRegistry | default .Values.image.registry -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- with $registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}:{{ $tag -}}
{{- end -}}

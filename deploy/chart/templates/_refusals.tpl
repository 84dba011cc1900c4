{{/* What would not work, or would lose something, said before anything is changed. */}}
{{- define "tallygate.refusals" -}}
{{- $shared := include "tallygate.sharedVolume" . -}}
{{- $replicas := int .Values.replicaCount -}}
{{- if and $shared (gt $replicas 1) }}
{{- fail (printf "replicaCount is %d, and %s gives all replicas the same volume: a persistence file belongs to one gateway, and a second one does not start. Set replicaCount to 1, or runAsStatefulSet to true, which gives each replica its own volume." $replicas $shared) }}
{{- end }}
{{- $strategy := (.Values.strategy).type | default "RollingUpdate" -}}
{{- if and $shared (not .Values.runAsStatefulSet) (ne $strategy "Recreate") }}
{{- fail (printf "strategy.type is %s, and %s keeps the metrics: a rollout would never end, as the new pod can't have the file before the old one is gone, which stays until the new one is ready. Set strategy.type to Recreate." $strategy $shared) }}
{{- end }}

{{- $secret := include "tallygate.databaseSecret" . -}}
{{- $setting := include "tallygate.databaseSetting" . | trim -}}
{{- if and (.Values.database).url .Values.database.existingSecret }}
{{- fail "database.url and database.existingSecret are both set: set one of them." }}
{{- end }}
{{- if and $secret $setting }}
{{- fail (printf "database is set, and %s names one, too: name the database in one of them." $setting) }}
{{- end }}
{{- if not (regexMatch "^(postgres(ql)?://.*)?$" ((.Values.database).url | default "")) }}
{{- fail "database.url must begin with postgres://." }}
{{- end }}
{{- if or $secret $setting }}
{{- $name := ternary "database" $setting (not (empty $secret)) }}
{{- with include "tallygate.file" . }}
{{- fail (printf "%s is set, and so is the persistence file %s: the gateway keeps its metrics in one of them. `tallygate copy` brings the content of a file to a database." $name .) }}
{{- end }}
{{- if .Values.persistentVolume.enabled }}
{{- fail (printf "%s is set, so nothing is kept on a volume. Set persistentVolume.enabled to false. An upgrade deletes the claim of a Deployment: first bring the content of its file to the database with `tallygate copy`." $name) }}
{{- end }}
{{- if .Values.serviceMonitor.enabled }}
{{- if .Values.serviceMonitor.bearerTokenFile }}
{{- fail (printf "%s is set, and serviceMonitor.bearerTokenFile: a ScrapeConfig takes a token from a secret. Use serviceMonitor.authorization." $name) }}
{{- end }}
{{- range list "caFile" "certFile" "keyFile" }}
{{- if get ($.Values.serviceMonitor.tlsConfig | default dict) . }}
{{- fail (printf "%s is set, and serviceMonitor.tlsConfig.%s: a ScrapeConfig takes certificates from secrets. Use ca, cert and keySecret." $name .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- $repository := .Values.image.repository | trimPrefix "docker.io/" -}}
{{- if has $repository (list "quay.io/prometheus/pushgateway" "prometheus/pushgateway" "prom/pushgateway" "ghcr.io/prometheus/pushgateway") }}
{{- fail (printf "image.repository is %s, the stock Pushgateway: this chart starts Tallygate. Take image.repository and image.tag out of your values, and use `helm upgrade --reset-then-reuse-values` in place of --reuse-values." .Values.image.repository) }}
{{- end }}

{{- if (.Values.tallygate).config }}
{{- range .Values.extraArgs }}
{{- if hasPrefix "--config.file" (toString .) }}
{{- fail "extraArgs has --config.file, and tallygate.config is set: put all settings into one of them." }}
{{- end }}
{{- end }}
{{- end }}

{{- if and .Values.networkPolicy (not .Values.networkPolicy.allowAll) (not .Values.networkPolicy.customSelectors) }}
{{- fail "networkPolicy needs allowAll: true, or customSelectors." }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.enabled needs ingress.hosts." }}
{{- end }}

{{/* A release of the other chart, of which an upgrade would delete the volume claim. */}}
{{- if and .Release.IsUpgrade (ne (include "tallygate.name" .) "prometheus-pushgateway") }}
{{- $name := include "tallygate.fullnameFor" (list . "prometheus-pushgateway") }}
{{- $service := lookup "v1" "Service" (include "tallygate.namespace" .) $name | default dict }}
{{- $labels := dig "metadata" "labels" dict $service }}
{{- if and (eq (get $labels "app.kubernetes.io/name") "prometheus-pushgateway") (eq (get $labels "app.kubernetes.io/instance") .Release.Name) }}
{{- fail (printf "release %s is of the chart prometheus-pushgateway, and the upgrade would delete what it has, the volume claim included. Set nameOverride to prometheus-pushgateway: then all objects keep their names." .Release.Name) }}
{{- end }}
{{- end }}
{{- end -}}

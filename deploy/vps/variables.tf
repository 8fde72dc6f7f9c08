variable "hub" {
  description = "URL of the hub."
  type        = string
  validation {
    condition     = startswith(var.hub, "https://")
    error_message = "A node reports over https."
  }
}

variable "region" {
  description = "Code of the vantage this machine becomes."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", var.region))
    error_message = "Lower-case letters, digits and dashes."
  }
}

variable "enrolment_token" {
  description = "From: nettrace fleet token --region CODE. Holds for one machine, once."
  type        = string
  sensitive   = true
}

variable "fleet" {
  description = "Label of the fleet."
  type        = string
  default     = "nettrace"
}

variable "location" {
  description = "Where: nbg1, fsn1, hel1, ash, hil, sin."
  type        = string
  default     = "hel1"
}

variable "server_type" {
  description = "The smallest is more than a node needs."
  type        = string
  default     = "cx23"
}

variable "ssh_keys" {
  description = "Names of keys known to the provider."
  type        = list(string)
  default     = []
}

variable "ssh_from" {
  description = "Networks that may reach port 22; none by default."
  type        = list(string)
  default     = []
}

variable "wheel" {
  description = "What pip installs: a name, a version, or the address of a wheel."
  type        = string
  default     = "nettrace"
}

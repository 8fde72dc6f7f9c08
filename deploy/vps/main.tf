# One node on one VPS of Hetzner Cloud, enrolled at its first boot. OpenTofu or Terraform:
#   export HCLOUD_TOKEN=...  TF_VAR_enrolment_token=$(nettrace fleet token --region hel)
#   tofu init && tofu plan -var hub=https://hub.example.net -var region=hel && tofu apply
# The one-time token is in the state and in the server's user data; it is worthless after the first boot.
terraform {
  required_version = ">= 1.6"
  required_providers {
    hcloud = {
      source  = "hetznercloud/hcloud"
      version = "~> 1.49"
    }
  }
}

provider "hcloud" {}

resource "hcloud_firewall" "node" {
  name = "nettrace-${var.region}"

  # Outbound only: a node listens to nobody. SSH for those who are named.
  dynamic "rule" {
    for_each = length(var.ssh_from) == 0 ? [] : [1]
    content {
      direction  = "in"
      protocol   = "tcp"
      port       = "22"
      source_ips = var.ssh_from
    }
  }
}

resource "hcloud_server" "node" {
  name         = "nettrace-${var.region}"
  image        = "debian-12"
  server_type  = var.server_type
  location     = var.location
  ssh_keys     = var.ssh_keys
  firewall_ids = [hcloud_firewall.node.id]
  labels       = { nettrace_fleet = var.fleet }

  user_data = templatefile("${path.module}/cloud-init.yaml", {
    hub    = var.hub
    region = var.region
    token  = var.enrolment_token
    wheel  = var.wheel
    unit   = file("${path.module}/../systemd/nettrace-node.service")
  })

  lifecycle {
    ignore_changes = [user_data] # a new token must not replace a node that has enrolled
  }
}

output "address" {
  value = hcloud_server.node.ipv4_address
}
